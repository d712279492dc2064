/// What a file turns out to be that should have been another: what people most often have in its place.
package enum FileContents: Sendable, CaseIterable {
  // Looked for in this order: a safetensors file begins with a length, which may look like anything's first bytes.
  case nothing, safetensors, pointer, page, zip, gzip, gguf, hdf5, grist, pickle

  /// Nil when the bytes begin like none of them.
  package init?(of bytes: Bytes) {
    let start = bytes.slice(0, min(bytes.count, 64))?.array ?? []
    guard let contents = Self.allCases.first(where: { $0.matches(start) }) else { return nil }
    self = contents
  }

  private func matches(_ start: [UInt8]) -> Bool {
    func has(_ text: String) -> Bool { start.starts(with: text.utf8) }
    switch self {
    case .nothing: return start.isEmpty
    case .pointer: return has("version https://git-lfs.github.com/spec/")
    case .page:
      let text = String(decoding: start.drop { $0 <= 0x20 }.prefix(14), as: UTF8.self).lowercased()
      return text.hasPrefix("<!doctype html") || text.hasPrefix("<html") || text.hasPrefix("<?xml")
    case .zip: return has("PK\u{3}\u{4}")
    case .gzip: return start.starts(with: [0x1f, 0x8b])
    case .gguf: return has("GGUF")
    case .hdf5: return start.starts(with: [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])
    case .grist: return has("GRIST\r\n")
    case .pickle: return start.count > 1 && start[0] == 0x80 && (2...5).contains(start[1])
    case .safetensors:
      return start.count > 9 && start[4..<8].allSatisfy { $0 == 0 } && start[8] == UInt8(ascii: "{")
    }
  }

  /// For people: "a git-lfs pointer".
  package var name: String {
    switch self {
    case .nothing: "an empty file"
    case .pointer: "a git-lfs pointer, which stands for the file"
    case .page: "a page for a browser"
    case .zip: "a zip archive"
    case .gzip: "a gzip archive"
    case .gguf: "a GGUF file"
    case .hdf5: "an HDF5 file"
    case .grist: "a .grist file"
    case .pickle: "pickled data"
    case .safetensors: "a safetensors file"
    }
  }

  /// How to come by the file that was wanted; nil where that does not follow.
  package var advice: String? {
    switch self {
    case .nothing: "fetch the file again"
    case .pointer: "fetch the file itself: git lfs pull"
    case .page:
      "fetch the file itself: a server mostly answers like this to someone who is not logged in, or to a wrong address"
    default: nil
    }
  }
}
