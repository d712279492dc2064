import ArgumentParser
import GristCore
import GristModel

/// Options that put one question: a message with pictures, or a whole conversation.
struct AskingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A picture to look at: JPEG, PNG or WebP. May be repeated.", valueName: "photo.jpg"))
  var image: [String] = []

  @Option(help: ArgumentHelp("What to ask.", valueName: "text"))
  var prompt: String?

  @Option(
    help: ArgumentHelp(
      "What to ask, with what came before: [{\"role\": \"user\", \"content\": …}, …], the last message the user's.",
      valueName: "file"))
  var conversation: String?

  /// Whether a question was put at all.
  var asks: Bool { prompt != nil || conversation != nil || !image.isEmpty }

  func validate() throws {
    if prompt?.holdsInvalidBytes == true { throw ValidationError("--prompt is not valid UTF-8") }
    if conversation != nil, prompt != nil || !image.isEmpty {
      throw ValidationError("--conversation goes without --prompt and --image: it holds both")
    }
    if !image.isEmpty, prompt == nil { throw ValidationError("--image goes with --prompt") }
  }

  /// The question, its pictures named as they were given; nil where none was put.
  ///
  /// - Throws: 66 for a file that is not there, 65 for one of another form.
  func question() throws -> Question? {
    if let conversation { return try Question.read(conversation: conversation) }
    return try prompt.map { prompt in
      Question(
        pictures: try image.map { Question.Picture(name: $0, bytes: try MappedFile(path: $0).bytes) }, prompt: prompt)
    }
  }

  /// The questions to record or to measure with: of a file, or the one that was put. Pictures are named by their files'
  /// names, which is what a record keeps.
  ///
  /// - Throws: As reading them does.
  func questions(probes: String?) throws -> [Question]? {
    if let probes { return try Question.read(path: probes) }
    if conversation == nil, let prompt { return [try Question(imagePaths: image, prompt: prompt)] }
    return try question().map { [$0] }
  }

  /// - Throws: where both kinds of questions were given.
  func checkApart(fromProbes probes: String?) throws {
    guard probes != nil, asks else { return }
    throw ValidationError("give either --probes, or --prompt with or without --image, or --conversation")
  }
}
