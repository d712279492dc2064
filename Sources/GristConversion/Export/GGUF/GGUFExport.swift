import GristCore
import GristFormat
import GristSources

/// Gives a model to llama.cpp: the language model as `model.gguf`; tower and projector, where there are, as
/// `mmproj.gguf`.
///
/// A router stays behind: llama.cpp computes none, and shows the language model every tile whole, as LLaVA-NeXT does.
public struct GGUFExport: Sendable {
  /// Types of matrices.
  public enum Element: String, Sendable, CaseIterable {
    /// What each is stored as, f32 where GGUF has no such type; Q8_0 where it is quantized.
    case source
    case f32, f16, bf16
    /// 8 bits in blocks of 32.
    case q8 = "q8_0"
  }

  private static let step = 4 << 20

  private let file: GristFile
  private let element: Element

  public init(_ file: GristFile, as element: Element = .source) {
    self.file = file
    self.element = element
  }

  /// Writes the folder, complete or not at all.
  ///
  /// - Parameters:
  ///   - path: a folder that is not there yet, or an empty one.
  ///   - progress: hears the fraction done, and what is being written.
  ///
  /// - Throws: 64 when something is at the path; 65 when the file is damaged, is no model that can be run, or has a
  ///   tokenizer that GGUF has no words for; 74 when writing fails; 130 when the user interrupts.
  public func run(to path: String, progress: (Double, String) -> Void = { _, _ in }) throws -> Export.Summary {
    let source = try Source(file)
    let choice: GGUFChoice =
      switch element {
      case .source: .asStored
      case .f32: .type(.f32)
      case .f16: .type(.f16)
      case .bf16: .type(.bf16)
      case .q8: .type(.q8)
      }
    let name = fileName(of: file.path)
    var files = [("model.gguf", try GGUFFile.languageModel(file, source, choice, name: name))]
    if let projector = try GGUFFile.projector(file, source, choice, name: name) {
      files.append(("mmproj.gguf", projector))
    }
    let folder = try AtomicFolder(path: path)
    let total = files.reduce(0) { $0 + $1.1.byteCount }
    var done = 0
    var written: [Export.Summary.File] = []
    for (name, gguf) in files {
      let output = try folder.file(named: name)
      let hash = StreamingSHA256()
      func append(_ bytes: Bytes) throws {
        try Interruption.check()
        hash.update(bytes)
        try output.append(bytes)
        done += bytes.count
        progress(Double(done) / Double(max(total, 1)), name)
      }
      try append(Bytes(gguf.header))
      for tensor in gguf.tensors {
        for start in stride(from: 0, to: tensor.byteCount, by: Self.step) {
          let range = start..<min(start + Self.step, tensor.byteCount)
          try append(tensor.bytes(range))
          tensor.release(range)
        }
        try append(Bytes([UInt8](repeating: 0, count: GGUFFile.padded(tensor.byteCount) - tensor.byteCount)))
      }
      try output.finish()
      written.append(
        Export.Summary.File(name: name, byteCount: output.count, sha256: hash.digits(), isOriginal: nil))
    }
    try file.requireUnchanged()
    try folder.commit()
    let configuration = try source.configuration()
    var notes: [String] = []
    if configuration.router != nil {
      notes.append("the router stays behind: llama.cpp has none, and looks at every tile whole")
    }
    if let window = configuration.language.slidingWindow, window < configuration.language.maximumLength {
      notes.append(
        "the model attends to \(window) rows only, and llama.cpp to all: the file says that its context is so long, up to "
          + "which both are the same")
    }
    return Export.Summary(path: path, files: written, notes: notes)
  }
}
