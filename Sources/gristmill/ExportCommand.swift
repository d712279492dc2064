import ArgumentParser
import GristConversion
import GristCore
import GristFormat

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Give a .grist file back as a checkpoint folder.",
    discussion: """
      From a file that lost nothing (recipe source) the very files come out that went in, where they were safetensors; \
      HDF5's and PyTorch's tensors as safetensors, under their own names. What was quantized is expanded, and has the \
      type that it had upstream unless --as asks for another. The folder appears complete or not at all.
      """)

  @Argument(help: "A .grist file.")
  var file: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The folder to write: one that is not there yet.", valueName: "folder"))
  var output: String

  @Option(help: ArgumentHelp("safetensors, or gguf for llama.cpp: model.gguf and mmproj.gguf.", valueName: "format"))
  var to = Format.safetensors

  @Option(
    name: .customLong("as"),
    help: ArgumentHelp(
      "Type of real numbers: source (what each had upstream), f32, f16, bf16; with --to gguf of matrices, and q8_0.",
      valueName: "type"))
  var type = "source"

  @Option(
    help: ArgumentHelp("Size of a weight file at most, where files are laid out anew: 5GB, 500MB.", valueName: "size"))
  var shardSize = "5GB"

  @Flag(help: "Read all that was written again, and compare.")
  var verify = false

  @OptionGroup var global: GlobalOptions

  enum Format: String, ExpressibleByArgument, CaseIterable { case safetensors, gguf }

  private static let types: [String: ElementType?] = ["source": nil, "f32": .f32, "f16": .f16, "bf16": .bf16]

  func validate() throws {
    switch to {
    case .safetensors:
      if Self.types[type] == nil { throw ValidationError("--as must be source, f32, f16 or bf16") }
    case .gguf:
      if GGUFExport.Element(rawValue: type) == nil {
        throw ValidationError("--as must be source, f32, f16, bf16 or q8_0")
      }
      if verify { throw ValidationError("--verify goes with --to safetensors") }
    }
    if shardBytes == nil {
      throw ValidationError("--shard-size must be a number of bytes such as 5GB, 500MB or 1000000")
    }
  }

  private var shardBytes: Int? { byteCount(ofSize: shardSize) }

  func run() throws {
    var options = Export.Options()
    options.element = Self.types[type] ?? nil
    options.shardBytes = shardBytes ?? options.shardBytes
    options.verifies = verify
    var bar = ProgressBar(quiet: global.quiet)
    let model = try GristFile(path: file)
    let summary =
      switch to {
      case .safetensors: try Export(model, options: options).run(to: output) { bar.show($0, $1) }
      case .gguf:
        try GGUFExport(model, as: GGUFExport.Element(rawValue: type) ?? .source).run(to: output) { bar.show($0, $1) }
      }
    bar.clear()
    if global.json { return try Console.print(summary.json) }
    if global.quiet { return }
    try Console.print("\(summary.path): \(summary.files.count) files, \(NumberText.bytes(summary.byteCount))")
    for file in summary.files where file.name.hasSuffix(".safetensors") || to == .gguf {
      try Console.print("  \(file.name)  \(NumberText.bytes(file.byteCount))  sha256 \(file.sha256)\(file.remark)")
    }
    for note in summary.notes { try global.note("note: \(note.visible())") }
  }
}

/// "5GB" as 5 000 000 000; nil for what is no size of at least a byte.
private func byteCount(ofSize text: String) -> Int? {
  let units: [(String, Int)] = [
    ("GiB", 1 << 30), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("MB", 1_000_000), ("B", 1), ("", 1),
  ]
  for (unit, factor) in units where text.hasSuffix(unit) {
    guard let number = Int(text.dropLast(unit.count)), number > 0 else { continue }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    return overflow ? nil : bytes
  }
  return nil
}

extension Export.Summary.File {
  fileprivate var remark: String {
    switch isOriginal {
    case true?: ", as it went in"
    case false?: ", laid out as it went in, with other values"
    case nil: ""
    }
  }
}

extension Export.Summary {
  fileprivate var json: JSONValue {
    [
      "output": JSONValue(path), "bytes": JSONValue(byteCount),
      "files": .array(
        files.map {
          [
            "name": JSONValue($0.name), "bytes": JSONValue($0.byteCount), "sha256": JSONValue($0.sha256),
            "original": $0.isOriginal.map { JSONValue($0) } ?? .null,
          ]
        }),
      "notes": JSONValue(notes),
    ]
  }
}
