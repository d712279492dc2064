import ArgumentParser
import Foundation
import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSigning
import GristSources

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer a prompt, with or without pictures.",
    discussion: """
      A checkpoint folder runs at full precision; that is the reference. A conversation's file is a list of messages, \
      each with a role (system, user or assistant) and a content: a text, or a list of {\"type\": \"text\", \"text\": …} \
      and {\"type\": \"image\", \"path\": \"photo.jpg\"}, paths relative to the file.
      """)

  @Argument(help: "A .grist file, or a checkpoint folder.")
  var model: String

  @OptionGroup var asking: AskingOptions

  @Option(help: ArgumentHelp("Visual tokens a tile; auto lets the router choose.", valueName: "auto|n"))
  var granularity: GranularityOption = .auto

  @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n"))
  var maxNewTokens = 128

  @OptionGroup var sampling: SamplingOptions

  @Option(
    help: ArgumentHelp(
      "Guess tokens from what was there before and verify several a pass, which changes no answer: auto does while weights "
        + "stream.", valueName: "auto|on|off"))
  var guesses: GuessesOption = .auto

  @Flag(help: "Cut the end off a prompt that is longer than the model's context, as upstream does.")
  var truncate = false

  @Flag(
    help:
      "Draw the picture on the terminal first, each visual token's cell in one colour; with --json: the cells' lines.")
  var show = false

  @Flag(help: "With --json: all logits after the prompt.")
  var logits = false

  @Option(
    help: ArgumentHelp(
      "Use nothing of the .grist file that is not signed by this public key, or by a certificate that leads to this one.",
      valueName: "pem"))
  var requireSignature: String?

  @OptionGroup var day: DateOptions
  @OptionGroup var memory: MemoryOptions
  @OptionGroup var choices: ChoiceOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  enum GuessesOption: String, ExpressibleByArgument, CaseIterable {
    case auto, on, off
    var wanted: Bool? { self == .auto ? nil : self == .on }
  }

  func validate() throws {
    try AnswerLength.check(maxNewTokens, atLeast: 0)
    guard asking.prompt != nil || asking.conversation != nil else {
      throw ValidationError("give --prompt, or --conversation")
    }
    if asking.conversation == nil, asking.image.isEmpty {
      if granularity != .auto { throw ValidationError("--granularity goes with --image") }
      if show { throw ValidationError("--show goes with --image") }
    }
    if show, asking.image.count > 1 { throw ValidationError("--show goes with one --image") }
  }

  func run() throws {
    let clock = ContinuousClock()
    let started = clock.now
    let sampler = try sampling.sampler()
    guard let question = try asking.question() else { throw ValidationError("give --prompt, or --conversation") }
    let conversation = try question.conversation(clock: day.clock)
    let sourceOptions = try options.checkpoint.sourceOptions()
    let source =
      if let requireSignature {
        try Source(
          IndexSignature.open(model, by: SignatureVerification.Signer(path: requireSignature)), options: sourceOptions)
      } else {
        try Source.open(path: model, options: sourceOptions)
      }
    var model = try source.model(compute: choices.applied(to: options.compute(global), source))
    let opened = clock.now
    try model.requirePlaces(of: conversation)
    if question.pictures.isEmpty, granularity != .auto || show {
      throw GristError(.usage, "--granularity and --show go with a picture", file: asking.conversation)
    }
    let pictures = try question.pictures.map { try model.picture(encoded: $0.bytes, name: $0.name) }
    let tiles = try pictures.map { try model.tiles(of: $0) }
    let plan = try memory.plan(model) {
      try model.memoryRequests(
        [model.extent(of: conversation, tiles: tiles)], newTokens: maxNewTokens, granularity: granularity.forced)
    }
    if let plan {
      if memory.dryRun { return try Console.print(plan, global) }
      for line in plan.lines { try global.note(line) }
      model = try model.running(plan)
    }
    // Let go before the decoder begins.
    var features = try tiles.map { try model.encode($0) }
    let encoded = clock.now
    let prepared = try model.prepare(
      conversation, images: features, granularity: granularity.forced,
      overlength: truncate ? .truncated : .refused)
    let routed = clock.now
    try plan?.requireRoom(
      rows: min(prepared.sequenceLength + maxNewTokens, model.configuration.maximumLength), file: model.path)
    let grid =
      if features.count == 1, show, let granularity = prepared.granularity {
        try model.tokenGrid(of: features[0], granularity: granularity)
      } else { TokenGrid?.none }
    features = []
    if show, !global.json, let picture = pictures.first {
      let palette = TerminalPicture.Palette(ProcessInfo.processInfo.environment)
      try Console.draw(TerminalPicture(picture, grid: grid, palette: palette))
    }
    if guesses == .on, !model.canGuess(sampler) {
      throw GristError(
        .usage, "--guesses on would change the answer", file: model.path,
        found: sampler.isGreedy ? "weights or activations that are not codes" : "--temperature \(sampling.temperature)",
        advice: "leave it out")
    }
    let streams = !global.json
    let answer = try model.answer(
      prepared, maxNewTokens: maxNewTokens, sampler: sampler, guesses: guesses.wanted
    ) {
      if streams { try Console.stream($0) }
    }
    var timing: JSONObject = [
      "open_s": JSONValue((opened - started).seconds), "image_s": JSONValue((encoded - opened).seconds),
      "prepare_s": JSONValue((routed - encoded).seconds), "prefill_s": JSONValue(answer.prefillSeconds),
      "decode_s": JSONValue(answer.decodeSeconds), "passes": JSONValue(answer.passes),
      "peak_resident_bytes": JSONValue(peakResidentBytes()),
    ]
    if let plan { timing["plan"] = plan.json }
    if let streaming = model.streaming {
      timing["streamed_bytes"] = JSONValue(streaming.bytesRead)
      timing["waited_s"] = JSONValue(streaming.waitSeconds)
      timing["streamed_bytes_per_s"] = JSONValue(streaming.bytesPerSecond)
      timing["disk_bytes_per_s"] = JSONValue(streaming.bytesPerReadingSecond)
    }
    if global.json {
      try Console.print(
        document(
          prepared, grid, answer, template: model.configuration.format.name,
          timing: .object(timing)), pretty: false)
    } else {
      try Console.stream("\n")
      try describe(prepared, answer, model)
    }
  }

  private func document(
    _ prompt: VisionLanguageModel.PreparedPrompt, _ grid: TokenGrid?, _ answer: VisionLanguageModel.Answer,
    template: String, timing: JSONValue
  ) -> JSONValue {
    var object: JSONObject = [
      "router": prompt.decision.map { $0.summary } ?? .null,
      "granularity": prompt.granularity.map(\.json) ?? .null, "tiles": JSONValue(prompt.tiles),
      "sequence_length": JSONValue(prompt.sequenceLength), "input_ids": JSONValue(prompt.inputIDs),
    ]
    if let twice = prompt.isAskedTwice { object["router_asked_twice"] = JSONValue(twice) }
    if let grid { object["grid"] = grid.json }
    if logits { object["logits_last"] = JSONValue(answer.firstLogits) }
    object["tokens"] = JSONValue(answer.tokens)
    object["text"] = JSONValue(answer.text)
    object["ending"] = JSONValue(answer.ending.rawValue)
    object["template"] = JSONValue(template)
    object["timing"] = timing
    return .object(object)
  }

  private func describe(
    _ prompt: VisionLanguageModel.PreparedPrompt, _ answer: VisionLanguageModel.Answer,
    _ model: VisionLanguageModel
  ) throws {
    let configuration = model.configuration
    var parts = [configuration.format.note, sampling.temperature == 0 ? configuration.generation?.note : nil].compactMap
    { $0 }
    if let decision = prompt.decision {
      let options = decision.wholePicture?.options ?? configuration.granularities
      parts.append(
        "the router chose \(decision.granularity) of \(options.map(String.init).joined(separator: "/"))"
          + " tokens a tile (margin \(NumberText.fixed(Double(decision.margin))))"
          + (prompt.isAskedTwice.map { $0 ? ", asked again at full precision" : ", in int8" } ?? ""))
    } else if let granularity = prompt.granularity {
      parts.append("\(granularity) tokens a tile")
    }
    parts.append("\(prompt.sequenceLength) rows of prompt in \(NumberText.fixed(answer.prefillSeconds, digits: 2)) s")
    if answer.tokens.count > 1, answer.decodeSeconds > 0 {
      let rate = Double(answer.tokens.count - 1) / answer.decodeSeconds
      let perPass = Double(answer.tokens.count - 1) / Double(max(answer.passes, 1))
      parts.append(
        "\(answer.tokens.count) tokens at \(NumberText.fixed(rate, digits: rate < 1 ? 2 : 1)) a second"
          + (perPass > 1 ? ", \(NumberText.fixed(perPass, digits: 2)) a pass" : ""))
    }
    if let streaming = model.streaming { parts.append(streaming.sentence) }
    try global.note("[" + parts.joined(separator: "; ") + "]")
  }
}
