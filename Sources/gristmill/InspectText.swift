import GristCore
import GristFormat
import GristModel
import GristSigning
import GristSources
import GristVerification

/// What a file is, as a person wants to see it: on one screen.
struct InspectText {
  private let file: GristFile
  private let running: RunningMemory?
  private let generation: GenerationSettings?

  init(_ file: GristFile, running: RunningMemory?, generation: GenerationSettings?) {
    self.file = file
    self.running = running
    self.generation = generation
  }

  func show() throws {
    let provenance = file.manifest.provenance
    try Console.print(
      "\(file.path): \(NumberText.bytes(file.byteCount)), .grist version \(GristLayout.version), "
        + "architecture \(provenance.architecture.line), recipe \(provenance.recipe.line), "
        + "packing \(provenance.packing.rawValue)")
    try line("made by", provenance.tool.line)
    try showSources(provenance.sources)
    try line(
      "through",
      provenance.lineage.map { step in
        step.recipe.line + (step.isLossy ? " (lossy)" : " (lossless)")
          + (step.calibration.map { ", calibrated \($0.line)" } ?? "")
          + (step.alignment.map { ", \($0.summary.line)" } ?? "")
      }.joined(separator: ", then "))
    if let template = provenance.promptTemplate {
      try line(
        "asked",
        ConfigurationOptions.isTemplateText(template)
          ? "by a chat template of its own, \(NumberText.bytes(template.utf8.count))"
          : template == ConversationFormat.rawName ? "without a template" : "by the template \(template.line)")
    }
    if let settings = generation?.settings {
      try line("answers", "greedily unless asked; generation_config.json says \(settings.joined(separator: ", "))")
    }
    if !provenance.ignoredKeys.isEmpty {
      try line("passing over", provenance.ignoredKeys.map(\.line).joined(separator: ", "))
    }
    if !provenance.overrides.isEmpty { try line("--set", provenance.overrides.map(\.line).joined(separator: ", ")) }
    if let record = RecordSummary(in: file) {
      try line(
        "record",
        "\(record.questions) questions answered by \(record.source.line)\(record.date.map { ", \($0.line)" } ?? "")"
          + (record.choiceBound.map {
            "; choices in int8 hold here above a margin of \(NumberText.fixed(Double($0.margin), digits: 3))"
          } ?? ""))
    }
    if let claim = IndexSignature.claim(in: file) {
      try line("signature", "\(claim.line), not looked at: `run --require-signature` does")
    }
    if file.freeBytes > 0 {
      try line("free", "\(NumberText.bytes(file.freeBytes)) are in no use any more; a conversion leaves them out")
    }
    if file.hasUnfinishedAddition {
      try line("unfinished", "something was begun to be added and not finished: the file is as it was before")
    }
    if let running {
      let sentence = running.sentence
      let takes = "running takes "
      try line("running", sentence.hasPrefix(takes) ? "takes " + sentence.dropFirst(takes.count) : sentence)
    }
  }

  /// Columns of the screen that it is made for.
  private static let width = 100
  private static let indent = 14

  private func line(_ name: String, _ text: String) throws {
    let heading = "  " + name + String(repeating: " ", count: max(1, Self.indent - 2 - name.count))
    try Self.printWrapped(heading, text)
  }

  /// A text behind a heading, in lines of the screen's width that stand below each other.
  private static func printWrapped(_ heading: String, _ text: String) throws {
    var line = heading
    var isEmpty = true
    for word in text.split(separator: " ") {
      if !isEmpty, line.count + word.count >= width {
        try Console.print(line)
        line = String(repeating: " ", count: indent)
        isEmpty = true
      }
      line += (isEmpty ? "" : " ") + word
      isEmpty = false
    }
    try Console.print(line)
  }

  /// A few by name, of many how many.
  private func showSources(_ sources: [Provenance.Source]) throws {
    for source in sources.prefix(3) {
      try line(
        "from",
        "\(source.name.line)  \(NumberText.bytes(source.byteCount))  sha256 \(source.sha256.prefix(16).description.line)…"
      )
    }
    guard sources.count > 3 else { return }
    let bytes = sources.reduce(0) { $0 &+ $1.byteCount }
    try line("", "and \(sources.count - 3) more, \(NumberText.bytes(bytes)) together")
  }

  /// A line a part.
  static func show(_ parts: [PartSummary], files: GristFile) throws {
    try Console.printTable(
      heading: ["part", "tensors", "weights", "stored as", "bits", "stored", "error", "worst row"], parts,
      leftAligned: [0, 3]
    ) { part in
      [
        part.layers > 1 ? "\(part.name) × \(part.layers)" : part.name, "\(part.tensors)", count(part.elements),
        (part.schemes.first ?? "-") + (part.schemes.count > 1 ? ", …" : ""),
        NumberText.fixed(part.bitsPerWeight, digits: 2), NumberText.bytes(part.storedBytes),
        NumberText.significant(part.relativeError, digits: 2),
        part.worstRowError.map { NumberText.significant($0, digits: 2) } ?? "-",
      ]
    }
    try printWrapped("files         ", files.manifest.files.map(\.name.line).joined(separator: ", "))
  }

  /// "656.4 k", "6.74 G".
  private static func count(_ number: Int) -> String {
    let units = [(1_000_000_000, " G"), (1_000_000, " M"), (1000, " k")]
    guard let (factor, unit) = units.first(where: { number >= $0.0 }) else { return "\(number)" }
    return NumberText.significant(Double(number) / Double(factor), digits: 3) + unit
  }

  /// A line a tensor.
  static func show(_ tensors: [TensorSummary]) throws {
    try Console.printTable(
      heading: ["tensor", "shape", "scheme", "bytes stored", "bits/weight", "relative error", "worst row"], tensors
    ) { summary in
      [
        summary.record.name, summary.record.shape.map(String.init).joined(separator: "×"), summary.record.scheme.name,
        "\(summary.storedBytes)", NumberText.fixed(summary.bitsPerWeight, digits: 2),
        NumberText.significant(summary.record.relativeError, digits: 2),
        summary.record.worstRowError.map { NumberText.significant($0, digits: 2) } ?? "-",
      ]
    }
  }
}

extension String {
  /// Text from a file as it stands within a line: it cannot begin another, and is not longer than a line should be.
  fileprivate var line: String { shortened().visible() }
}
