import GristCore

/// An image format, told from a file's first bytes.
///
/// JPEG, PNG and WebP are decoded; the others are known so that an error can name what was given instead.
enum ImageFormat: CaseIterable, CustomStringConvertible {
  case jpeg, png, gif, webp, bmp, tiff, heif, jpeg2000, jpegXL

  /// Nil when the bytes start like none of them.
  init?(of bytes: Bytes) {
    let start = bytes.slice(0, min(bytes.count, 16))?.array ?? []
    guard let format = Self.allCases.first(where: { $0.matches(start) }) else { return nil }
    self = format
  }

  private func matches(_ start: [UInt8]) -> Bool {
    func has(_ signature: [UInt8], at offset: Int = 0) -> Bool {
      start.dropFirst(offset).starts(with: signature)
    }
    func has(_ signature: String, at offset: Int = 0) -> Bool { has(Array(signature.utf8), at: offset) }

    switch self {
    case .jpeg: return has([0xFF, 0xD8, 0xFF])
    case .png: return has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
    case .gif: return has("GIF8")
    case .webp: return has("RIFF") && has("WEBP", at: 8)
    case .bmp: return has("BM")
    case .tiff: return has([0x49, 0x49, 0x2A, 0x00]) || has([0x4D, 0x4D, 0x00, 0x2A])
    case .heif: return has("ftyp", at: 4)
    case .jpeg2000: return has([0, 0, 0, 12, 0x6A, 0x50]) || has([0xFF, 0x4F, 0xFF, 0x51])
    case .jpegXL: return has([0xFF, 0x0A]) || has([0, 0, 0, 12, 0x4A, 0x58])
    }
  }

  /// As HTTP names it, for those that are decoded.
  var mediaType: String? {
    switch self {
    case .jpeg: "image/jpeg"
    case .png: "image/png"
    case .webp: "image/webp"
    default: nil
    }
  }

  var description: String {
    switch self {
    case .jpeg: "a JPEG image"
    case .png: "a PNG image"
    case .gif: "a GIF image"
    case .webp: "a WebP image"
    case .bmp: "a BMP image"
    case .tiff: "a TIFF image"
    case .heif: "a HEIF or AVIF image, or a video"
    case .jpeg2000: "a JPEG 2000 image"
    case .jpegXL: "a JPEG XL image"
    }
  }
}

/// The first bytes as they should be shown in an error.
func startDescription(of bytes: Bytes) -> String {
  guard let start = bytes.slice(0, min(bytes.count, 8))?.array, !start.isEmpty else { return "an empty file" }
  let digits = start.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
  return "the bytes \(digits.joined(separator: " "))"
}
