import ArgumentParser
import Foundation
import GristCore
import GristKernels
import GristModel
import GristServing
import GristSources

struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat", abstract: "Talk to a model in the terminal, several turns, about pictures or not.",
    discussion: """
      A line is a message. /image FILE shows a picture, which comes with the next message (and begins a \
      conversation, where the model takes one picture only), /granularity N or auto says how finely it \
      is cut, /new begins anew, /quit ends. What was read already is not read again.
      """)

  @Argument(help: "A .grist file, or a checkpoint folder.")
  var model: String

  @Option(help: ArgumentHelp("A picture to begin with: JPEG, PNG or WebP. May be repeated.", valueName: "photo.jpg"))
  var image: [String] = []

  @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n"))
  var maxNewTokens = 512

  @OptionGroup var sampling: SamplingOptions

  @OptionGroup var choices: ChoiceOptions
  @OptionGroup var options: ComputeOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    try AnswerLength.check(maxNewTokens, atLeast: 1)
    if global.json { throw ValidationError("chat has no --json; `gristmill run --json` answers one prompt") }
  }

  func run() throws {
    let sampler = try sampling.sampler()
    let source = try Source.open(path: model, options: options.checkpoint.sourceOptions())
    let compute = try choices.applied(to: options.compute(global), source)
    let chat = Chat(try source.model(compute: compute), maxNewTokens: maxNewTokens, sampler: sampler)
    if image.count > 1, !chat.takesSeveralPictures {
      throw GristError(.usage, "this model takes one picture in a conversation", file: model)
    }
    for path in image { try look(at: path, chat) }
    while let line = nextLine() {
      let text = line.trimmingCharacters(in: .whitespaces)
      if text == "/quit" { break }
      if text.isEmpty { continue }
      do {
        if text.utf8.first == UInt8(ascii: "/") { try obey(text, chat) } else { try ask(text, chat) }
      } catch let error as GristError where error.code != .interrupted && error.code != .inputOutput {
        // A conversation goes on after a message that could not be answered.
        try Console.error("gristmill: \(error)")
      }
    }
  }

  private func nextLine() -> String? {
    if Console.isTerminal { try? Console.write("> ", to: STDERR_FILENO, "standard error") }
    return readLine()
  }

  private func look(at path: String, _ chat: Chat) throws {
    try chat.show(Question.Picture(name: path, bytes: MappedFile(path: path).bytes))
  }

  private func obey(_ text: String, _ chat: Chat) throws {
    let words = text.split(separator: " ", maxSplits: 1).map(String.init)
    let argument = words.count > 1 ? words[1].trimmingCharacters(in: .whitespaces) : ""
    switch words[0] {
    case "/image" where !argument.isEmpty:
      try look(at: argument, chat)
      try global.note(
        chat.takesSeveralPictures
          ? "[\(argument) comes with the next message]" : "[a new conversation about \(argument)]")
    case "/granularity" where argument == "auto": chat.granularity = nil
    case "/granularity":
      guard let tokens = Int(argument), chat.model.configuration.granularities.contains(tokens) else {
        throw GristError(
          .usage, "the model has no such granularity", found: argument,
          advice: "it has " + chat.model.configuration.granularities.map(String.init).joined(separator: ", "))
      }
      chat.granularity = .uniform(tokens)
    case "/new": chat.restart()
    default:
      throw GristError(
        .usage, "no such command", found: text, advice: "/image FILE, /granularity N or auto, /new, /quit")
    }
  }

  private func ask(_ text: String, _ chat: Chat) throws {
    let reply = try chat.ask(text) { try Console.stream($0) }
    try Console.stream("\n")
    var parts: [String] = []
    if let decision = reply.decision {
      parts.append(
        "the router chose \(decision.granularity) tokens a tile (margin \(NumberText.fixed(Double(decision.margin))))")
    }
    parts.append("\(reply.rows) rows" + (reply.keptRows > 0 ? ", \(reply.keptRows) kept" : ""))
    parts.append("first token after \(NumberText.fixed(reply.firstSeconds, digits: 2)) s")
    if reply.tokens > 1, reply.decodeSeconds > 0 {
      parts.append("\(NumberText.fixed(Double(reply.tokens - 1) / reply.decodeSeconds, digits: 1)) tokens a second")
    }
    try global.note("[" + parts.joined(separator: "; ") + "]")
  }
}
