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

  @Option(help: ArgumentHelp("List each tensor whose name matches; \".\" lists all.", valueName: "regex"))
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
      "bytes": JSONValue(grist.byteCount), "additions": JSONValue(Int(clamping: grist.generation - 1)),
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

  /// How the model's makers would have answers drawn, where the file keeps that.
  private func generation(_ grist: GristFile) -> GenerationSettings? {
    guard let bytes = try? grist.sideFile(named: GenerationSettings.fileName),
      let json = try? JSONReader(JSONValue.parse(bytes), file: grist.path)
    else { return nil }
    return GenerationSettings(json)
  }

  private func describe(_ grist: GristFile, _ shown: [TensorSummary]) throws {
    try InspectText(grist, running: running(grist), generation: generation(grist)).show()
    if tensors == nil {
      try InspectText.show(grist.parts, files: grist)
    } else {
      try InspectText.show(shown)
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
