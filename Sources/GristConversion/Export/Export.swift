import GristCore
import GristFormat
import GristSources

/// Gives a `.grist` file back as a checkpoint folder: weights as safetensors under the names that they had upstream, and
/// the small files as they were.
///
///     let summary = try Export(GristFile(path: "model.grist")).run(to: "checkpoint")
///
/// From a file that lost nothing the very files come out that went in, where they were safetensors. What was quantized
/// is expanded, and has upstream's type again, or the one that is asked for.
public struct Export: Sendable {
  public struct Options: Sendable {
    /// The type of real numbers: f32, f16 or bf16; nil for the one that each had upstream.
    public var element: ElementType?
    /// Bytes that a weight file holds at most, where files are laid out anew; a tensor is never cut.
    public var shardBytes = 5_000_000_000
    /// Whether all that was written is read again and compared.
    public var verifies = false

    public init() {}
  }

  /// What was written.
  public struct Summary: Sendable {
    public struct File: Sendable {
      /// Its path from the folder.
      public let name: String
      public let byteCount: Int
      public let sha256: String
      /// Whether it is what went in, byte for byte; nil where nothing like it went in.
      public let isOriginal: Bool?
    }

    public let path: String
    public let files: [File]
    public let notes: [String]
    public var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }
  }

  /// Bytes that are worked on at a time.
  private static let step = 4 << 20

  private let file: GristFile
  private let options: Options

  public init(_ file: GristFile, options: Options = Options()) {
    self.file = file
    self.options = options
  }

  /// Writes the folder, complete or not at all.
  ///
  /// - Parameters:
  ///   - path: a folder that is not there yet, or an empty one.
  ///   - progress: hears the fraction done, and what is being written.
  ///
  /// - Throws: 64 when something is at the path; 65 when the file is damaged, holds what this version cannot read, or
  ///   does not give back what went in though it lost nothing; 74 when writing fails; 130 when the user interrupts.
  public func run(to path: String, progress: (Double, String) -> Void = { _, _ in }) throws -> Summary {
    let plan = try ExportPlan(file, options: options)
    let folder = try AtomicFolder(path: path)
    let total = plan.weights.reduce(0) { $0 + $1.byteCount } * (options.verifies ? 2 : 1)
    var done = 0
    var files: [Summary.File] = []
    func advance(_ bytes: Int, _ what: String) throws {
      try Interruption.check()
      done += bytes
      progress(Double(done) / Double(max(total, 1)), what)
    }
    for weights in plan.weights { files.append(try write(weights, to: folder, advance)) }
    for name in plan.sideFiles {
      guard let bytes = try file.sideFile(named: name) else { continue }
      files.append(try write(bytes, named: name, to: folder, original: file.manifest.sha256(ofFile: name)))
    }
    for (name, bytes) in plan.made { files.append(try write(bytes, named: name, to: folder, original: nil)) }
    try file.requireUnchanged()
    if options.verifies {
      for written in files { try verify(written, in: folder, advance) }
    }
    try folder.commit()
    return Summary(path: path, files: files, notes: plan.notes)
  }

  private func write(
    _ weights: ExportPlan.Weights, to folder: AtomicFolder, _ advance: (Int, String) throws -> Void
  ) throws -> Summary.File {
    let output = try folder.file(named: weights.name)
    let hash = StreamingSHA256()
    func append(_ bytes: Bytes) throws {
      hash.update(bytes)
      try output.append(bytes)
      try advance(bytes.count, weights.name)
    }
    try append(weights.header)
    for tensor in weights.tensors {
      for start in stride(from: 0, to: tensor.byteCount, by: Self.step) {
        let range = start..<min(start + Self.step, tensor.byteCount)
        try append(tensor.bytes(range))
        tensor.release(range)
      }
    }
    try output.finish()
    let digits = hash.digits()
    if let original = weights.original, digits != original, !file.manifest.provenance.isLossy {
      throw GristError(
        .badData, "\(weights.name) does not come out as it went in, though the file says that it lost nothing",
        file: file.path, found: "SHA-256 \(digits) instead of \(original)", advice: "convert the checkpoint again")
    }
    return Summary.File(
      name: weights.name, byteCount: output.count, sha256: digits, isOriginal: weights.original.map { $0 == digits })
  }

  private func write(
    _ bytes: Bytes, named name: String, to folder: AtomicFolder, original: String?
  ) throws -> Summary.File {
    let output = try folder.file(named: name)
    try output.append(bytes)
    try output.finish()
    let digits = sha256(bytes)
    return Summary.File(
      name: name, byteCount: bytes.count, sha256: digits, isOriginal: original.map { $0 == digits })
  }

  /// - Throws: 74 when what lies on the disk is not what was written.
  private func verify(
    _ written: Summary.File, in folder: AtomicFolder, _ advance: (Int, String) throws -> Void
  ) throws {
    let mapped = try MappedFile(path: folder.temporaryPath(of: written.name))
    let hash = StreamingSHA256()
    for start in stride(from: 0, to: mapped.count, by: Self.step) {
      guard let piece = mapped.bytes.slice(start, min(Self.step, mapped.count - start)) else { break }
      hash.update(piece)
      mapped.advise(.dontNeed, offset: start, count: piece.count)
      try advance(piece.count, "reading \(written.name) again")
    }
    guard hash.digits() == written.sha256, mapped.count == written.byteCount else {
      throw GristError(
        .inputOutput, "what was written reads as something else", file: joinPath(folder.path, written.name),
        advice: "the disk is failing: write to another")
    }
  }
}

extension Manifest {
  fileprivate func sha256(ofFile name: String) -> String? { files.first { $0.name == name }?.sha256 }
}
