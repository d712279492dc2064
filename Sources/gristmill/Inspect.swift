import ArgumentParser
import GristConversion
import GristCore
import GristFormat
import GristModel
import GristSources

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what is in a .grist file; with --check, whether it is whole.",
    discussion: """
      Opening checks the header, the index and every length, but not what the chunks hold: a damaged weight shows only \
      with --check, which reads all of them.
      """)

  @Argument(help: "A .grist file.")
  var file: String

  @Option(help: ArgumentHelp("Only tensors whose name matches.", valueName: "regex"))
  var tensors: String?

  @Flag(help: "Read and unpack every chunk and check its checksum.")
  var check = false

  @OptionGroup var global: GlobalOptions

  func run() throws {
    let matches = try tensors.map { try nameMatcher($0) }
    let grist = try GristFile(path: file)
    if check { try checkChunks(grist) }
    let shown = grist.manifest.tensors.filter { matches?($0.name) ?? true }.map { TensorSummary($0, in: grist) }
    if global.json { try Console.print(document(grist, shown)) } else { try describe(grist, shown) }
  }

  private func checkChunks(_ grist: GristFile) throws {
    var bar = ProgressBar(quiet: global.quiet)
    let pool = try global.pool()
    let batch = 64 * pool.threadCount
    let tensors = grist.tensorOfEachChunk
    for first in stride(from: 0, to: grist.chunkCount, by: batch) {
      try Interruption.check()
      bar.show(Double(first) / Double(grist.chunkCount), "checking")
      try pool.runThrowing(min(batch, grist.chunkCount - first)) { index, _ in
        try grist.check(chunk: first + index, of: tensors[first + index])
        grist.release(chunk: first + index)
      }
    }
    bar.clear()
  }

  private func document(_ grist: GristFile, _ shown: [TensorSummary]) -> JSONValue {
    let provenance = grist.manifest.provenance
    return [
      "version": JSONValue(Int(GristLayout.version)), "recipe": JSONValue(provenance.recipe),
      "bytes": JSONValue(grist.byteCount), "generation": JSONValue(Int(clamping: grist.generation)),
      "free_bytes": JSONValue(grist.freeBytes), "unfinished_addition": JSONValue(grist.hasUnfinishedAddition),
      "architecture": JSONValue(provenance.architecture),
      "packing": JSONValue(provenance.packing.rawValue), "tool": JSONValue(provenance.tool),
      "overrides": JSONValue(provenance.overrides), "fingerprint": JSONValue(provenance.fingerprint),
      "lineage": .array(provenance.lineage.map(\.json)), "lossy": JSONValue(provenance.isLossy),
      "ignored_keys": JSONValue(provenance.ignoredKeys),
      "prompt_template": provenance.promptTemplate.map { JSONValue($0) } ?? .null,
      "generation": .array((generation(grist)?.settings ?? []).map { JSONValue($0) }),
      "running": running(grist)?.json ?? .null,
      "checked": JSONValue(check), "chunks": JSONValue(grist.chunkCount),
      "sources": .array(
        provenance.sources.map {
          ["name": JSONValue($0.name), "bytes": JSONValue($0.byteCount), "sha256": JSONValue($0.sha256)]
        }),
      "files": .array(
        grist.manifest.files.map {
          ["name": JSONValue($0.name), "bytes": JSONValue($0.byteCount), "sha256": JSONValue($0.sha256)]
        }),
      "segments": .array(
        grist.manifest.segments.map { ["name": JSONValue($0.name), "chunks": JSONValue($0.count)] }),
      "tensors": .array(shown.map(\.json)),
    ]
  }

  /// What running it takes; nil where it cannot be run.
  private func running(_ grist: GristFile) -> RunningMemory? { (try? Source(grist)).flatMap { RunningMemory($0) } }

  private func payloadBytes(_ grist: GristFile) -> Int {
    grist.manifest.tensors.reduce(0) { $0 + TensorSummary($1, in: grist).payloadBytes }
  }

  /// How the model's makers would have answers drawn, where the file keeps that.
  private func generation(_ grist: GristFile) -> GenerationSettings? {
    guard let bytes = try? grist.sideFile(named: GenerationSettings.fileName),
      let json = try? JSONReader(JSONValue.parse(bytes), file: grist.path)
    else { return nil }
    return GenerationSettings(json)
  }

  private func describe(_ grist: GristFile, _ shown: [TensorSummary]) throws {
    let provenance = grist.manifest.provenance
    try Console.print(
      "\(grist.path): \(NumberText.bytes(grist.byteCount)), .grist version \(GristLayout.version), "
        + "architecture \(provenance.architecture.line), recipe \(provenance.recipe.line), "
        + "packing \(provenance.packing.rawValue), "
        + "\(NumberText.bytes(payloadBytes(grist))) of weights before packing")
    try Console.print("made by \(provenance.tool.line) from")
    for source in provenance.sources {
      try Console.print("  \(source.name.line)  \(NumberText.bytes(source.byteCount))  sha256 \(source.sha256.line)")
    }
    try Console.print(
      "through "
        + provenance.lineage.map { step in
          step.recipe.line + (step.isLossy ? " (lossy)" : " (lossless)")
            + (step.calibration.map { ", calibrated \($0.line)" } ?? "")
        }
        .joined(separator: ", then "))
    if let template = provenance.promptTemplate {
      try Console.print(
        ConfigurationOptions.isTemplateText(template)
          ? "asked by a chat template of its own, \(NumberText.bytes(template.utf8.count))"
          : template == ConversationFormat.rawName
            ? "asked without a template" : "asked by the template \(template.line)")
    }
    if let settings = generation(grist)?.settings {
      try Console.print(
        "answering greedily unless asked; generation_config.json says \(settings.joined(separator: ", "))")
    }
    if !provenance.ignoredKeys.isEmpty {
      try Console.print("passing over " + provenance.ignoredKeys.map(\.line).joined(separator: ", "))
    }
    if !provenance.overrides.isEmpty {
      try Console.print("with --set " + provenance.overrides.map(\.line).joined(separator: " --set "))
    }
    if grist.freeBytes > 0 {
      try Console.print(
        "added to \(grist.generation - 1 == 1 ? "once" : "\(grist.generation - 1) times"): "
          + "\(NumberText.bytes(grist.freeBytes)) are in no use any more; a conversion leaves them out")
    }
    if grist.hasUnfinishedAddition {
      try Console.print("something was begun to be added and not finished: the file is as it was before")
    }
    if let running = running(grist) { try Console.print(running.sentence) }
    try Console.print("holding " + grist.manifest.files.map(\.name.line).joined(separator: ", "))
    try Console.printTable(
      heading: ["tensor", "shape", "scheme", "bytes stored", "bits/weight", "relative error", "worst row"], shown
    ) { summary in
      [
        summary.record.name, summary.record.shape.map(String.init).joined(separator: "×"), summary.record.scheme.name,
        "\(summary.storedBytes)", NumberText.fixed(summary.bitsPerWeight, digits: 2),
        NumberText.significant(summary.record.relativeError, digits: 2),
        summary.record.worstRowError.map { NumberText.significant($0, digits: 2) } ?? "-",
      ]
    }
    try Console.print(
      check
        ? "all \(grist.chunkCount) chunks are whole" : "the chunks were not read; --check tells whether they are whole")
  }
}

extension TensorSummary {
  fileprivate var json: JSONValue {
    [
      "name": JSONValue(record.name), "source_name": JSONValue(record.origin.name), "shape": JSONValue(record.shape),
      "scheme": JSONValue(record.scheme.name),
      "bytes": JSONValue(payloadBytes), "stored_bytes": JSONValue(storedBytes),
      "bits_per_weight": JSONValue(bitsPerWeight), "relative_error": JSONValue(record.relativeError),
      "worst_row_error": record.worstRowError.map { JSONValue($0) } ?? .null,
      "source": JSONValue(record.origin.element.rawValue),
    ]
  }
}

extension String {
  /// Text from a file as it stands within a line: it cannot begin another, and is not longer than a line should be.
  fileprivate var line: String { shortened().visible() }
}
