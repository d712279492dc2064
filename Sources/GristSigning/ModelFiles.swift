import GristCore
import GristSources

/// The files that a model is made of, as a signature names them (OpenSSF Model Signing 1.0, section 6.1): one file, or
/// all regular files below a folder.
struct ModelFiles {
  /// Not part of a model, at its top.
  static let excluded = [".git", ".gitignore", ".gitattributes", ".github"]

  /// The folder's or the file's own name.
  let name: String
  /// Paths from the model's folder, by code points; of a model that is one file, its name.
  let names: [String]
  /// Whether it is one file.
  let isFile: Bool
  private let root: String

  /// - Parameters:
  ///   - path: a file or a folder.
  ///   - ignored: paths from the folder that are left out, with all below them.
  ///   - signature: the signature's own path, which is left out too.
  ///
  /// - Throws: 66 when nothing is there; 65 for a link, something that is no file, or a name that is not UTF-8.
  init(path: String, ignoring ignored: [String], signature: String) throws {
    var root = path
    while root.count > 1, root.hasSuffix("/") { root.removeLast() }
    self.root = root
    guard let kind = fileKind(at: root) else { throw GristError(.missingInput, "no such model", file: path) }
    isFile = kind != .folder
    name = fileName(of: resolvedPath(root) ?? root)
    if isFile {
      names = [fileName(of: root)]
      return
    }
    let own = resolvedPath(signature)
    // What stands beside a signature while it is written.
    let outputName = fileName(of: signature)
    let excluded = Set(Self.excluded + ignored)
    var found: [String] = []
    func walk(_ folder: String) throws {
      for entry in try folderContents(folder.isEmpty ? root : joinPath(root, folder)) {
        let name = folder.isEmpty ? entry : folder + "/" + entry
        guard !excluded.contains(name), AtomicFile.nameOfOutput(leaving: entry) != outputName else { continue }
        let place = joinPath(root, name)
        guard linkTarget(of: place) == nil else {
          throw GristError(
            .badData, "a link in the model: signatures are of files", file: place,
            advice: "put the file in its place, or leave it out with --ignore-path")
        }
        guard !entry.holdsInvalidBytes else {
          throw GristError(.badData, "a name that is not UTF-8 cannot be signed", file: place)
        }
        switch fileKind(at: place) {
        case .folder?: try walk(name)
        case .file?: if own == nil || resolvedPath(place) != own { found.append(name) }
        default: throw GristError(.badData, "not a plain file", file: place)
        }
      }
    }
    try walk("")
    names = found.sorted { ByteName($0) < ByteName($1) }
  }

  /// The SHA-256 of a file, or of a range of it, 64 hexadecimal digits.
  ///
  /// - Throws: 66 or 74 when it cannot be read, 130 when the user interrupts.
  func sha256(of name: String, range: Range<Int>? = nil, progress: (Int) -> Void = { _ in }) throws -> String {
    let file = try MappedFile(path: isFile ? root : joinPath(root, name))
    let range = range ?? 0..<file.count
    let hash = StreamingSHA256()
    let step = 4 << 20
    for start in stride(from: range.lowerBound, to: range.upperBound, by: step) {
      try Interruption.check()
      guard let piece = file.bytes.slice(start, min(step, range.upperBound - start)) else {
        throw GristError(.inputOutput, "the file ends too soon", file: file.path)
      }
      hash.update(piece)
      file.advise(.dontNeed, offset: start, count: piece.count)
      progress(piece.count)
    }
    try file.requireUnchanged()
    return hash.digits()
  }

  /// - Throws: 66 when it is not there.
  func byteCount(of name: String) throws -> Int { try MappedFile(path: isFile ? root : joinPath(root, name)).count }

  /// A path that was named on the command line, from the model's folder; nil for one that lies elsewhere.
  static func relative(_ path: String, to model: String) -> String? {
    guard path.hasPrefix("/") else { return path }
    guard let root = resolvedPath(model), let place = resolvedPath(path) ?? Optional(path),
      place.hasPrefix(root + "/")
    else { return nil }
    return String(place.dropFirst(root.count + 1))
  }
}
