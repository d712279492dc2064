import GristCore
import GristEvaluation
import GristKernels
import GristModel
import GristSources
import GristVerification

/// Asks a model, as it will run, how well it gives known answers at every granularity.
struct FeedbackGathering {
  let source: Source
  let questions: [TaughtQuestion]
  let options: RouterAlignment.Options
  let compute: Compute

  /// Asks what was not asked yet, into a folder that keeps all of it.
  ///
  /// - Parameters:
  ///   - path: of the folder.
  ///   - progress: hears the fraction done.
  ///
  /// - Throws: 65 for a folder of other feedback, what running the model throws, 130 when interrupted.
  func run(into path: String, progress: (Double, String) throws -> Void) throws -> FeedbackFolder {
    let asked = try AskedModel(
      source, questions.map(\.question), newTokens: options.maxNewTokens, budget: options.memoryBudget, clock: nil,
      compute: compute)
    let model = asked.model
    let routing = try RouterAlignment.routing(of: source)
    let folder = try FeedbackFolder(
      path: path, key: key(routing), questions: questions.count, granularities: routing.granularities.count,
      shape: .init(patches: routing.side * routing.side, width: routing.width))
    let done = Set(folder.feedback.map(\.index))
    let wanted = options.part.map { Array($0.range(of: questions.count)) } ?? Array(questions.indices)
    var images = ImageCache(model)
    // Of the last picture, which the next question is often about.
    var last: (picture: Bytes, features: Bytes, checksum: String)?
    for (number, index) in wanted.enumerated() where !done.contains(index) {
      try Interruption.check()
      try progress(Double(number) / Double(wanted.count), "feedback: question \(number + 1) of \(wanted.count)")
      let question = questions[index]
      guard let picture = question.question.pictures.first,
        let image = try images.features(of: question.question).first
      else { continue }
      if last?.picture.elementsEqual(picture.bytes) != true {
        let features = storedFeatures(image)
        last = (picture.bytes, features, features.featuresChecksum)
      }
      guard let last else { continue }
      try folder.append(
        feedback(model, routing, question, image, index: index, checksum: last.checksum), features: last.features)
    }
    return folder
  }

  private func storedFeatures(_ image: VisionLanguageModel.ImageFeatures) -> Bytes {
    let values = (0..<image.features.rows).flatMap(image.features.row)
    return values.withUnsafeBufferPointer { convertFloats($0, to: .bf16).payload }
  }

  private func feedback(
    _ model: VisionLanguageModel, _ routing: GranularityRouting, _ taught: TaughtQuestion,
    _ image: VisionLanguageModel.ImageFeatures, index: Int, checksum: String
  ) throws -> QuestionFeedback {
    let conversation = try taught.question.conversation(clock: nil)
    let prompts = try routing.granularities.map {
      try model.prepare(conversation, image: image, granularity: .uniform($0))
    }
    guard let finest = routing.granularities.indices.max(by: { routing.granularities[$0] < routing.granularities[$1] }),
      let picture = taught.question.pictures.first
    else { throw GristError(.usage, "there is no granularity to choose") }
    let tokens = try tokens(of: taught, model, prompts[finest])
    let logits = try logits(model, prompts, tokens)
    let losses = logits.map { own in
      let divergences = tokens.indices.map {
        Divergence(reference: logits[finest][$0], model: own[$0], token: tokens[$0])
      }
      let sum = divergences.reduce(0.0) { sum, divergence in
        sum + (options.measure == .divergence ? divergence.kl : divergence.surprisal?.model ?? .infinity)
      }
      return sum / Double(tokens.count)
    }
    guard losses.allSatisfy(\.isFinite) else {
      throw GristError(
        .badData, "the model's logits are not finite", file: model.path, found: taught.question.prompt.shortened())
    }
    let text = prompts[finest].inputIDs.filter { $0 != Conversation.imageID }
    let choice =
      options.granularities == nil
      ? try model.route(image, text: text)?.wholePicture.flatMap { routing.granularities.firstIndex(of: $0.tokens) }
      : nil
    return QuestionFeedback(
      index: index, picture: sha256(picture.bytes), tiles: image.tileCount,
      text: try model.filteredText(text, by: image, count: routing.filteredTextTokens), losses: losses,
      visualTokens: prompts.map(\.pictureRows), choice: choice, featuresChecksum: checksum)
  }

  /// The answer's tokens; one that was given ends with the token that ends answers.
  private func tokens(
    of taught: TaughtQuestion, _ model: VisionLanguageModel, _ finest: VisionLanguageModel.PreparedPrompt
  ) throws -> [Int] {
    let tokens: [Int]
    switch taught.answer {
    case .tokens(let known): tokens = known
    case .text(let answer):
      let end = model.tokenizer.end ?? model.endTokens.min()
      tokens = try model.tokenizer.encode(answer) + (end.map { [$0] } ?? [])
    case .own:
      let answer = try model.answer(finest, maxNewTokens: options.maxNewTokens, sampler: Sampler())
      let end = answer.ending == .endToken ? model.tokenizer.end ?? model.endTokens.min() : nil
      tokens = answer.tokens + (end.map { [$0] } ?? [])
    }
    guard !tokens.isEmpty else {
      throw GristError(
        .badData, "a question's answer has no token", file: model.path, found: taught.question.prompt.shortened())
    }
    return tokens
  }

  /// Logits before each of the tokens, behind each prompt.
  private func logits(
    _ model: VisionLanguageModel, _ prompts: [VisionLanguageModel.PreparedPrompt], _ tokens: [Int]
  ) throws -> [[[Float]]] {
    // A budget has room for one prompt; each becomes alone what it becomes beside others.
    let groups = options.memoryBudget == nil ? [prompts] : prompts.map { [$0] }
    return try groups.flatMap { group in
      let sessions = try model.start(group, newTokens: tokens.count)
      var logits = sessions.map { [$0.logits] }
      try model.follow(sessions, sessions.map { _ in Array(tokens.dropLast()) }) { session, _, behind in
        logits[session].append(behind)
      }
      return logits
    }
  }

  /// What losses depend on.
  private func key(_ routing: GranularityRouting) throws -> JSONObject {
    let asked = questions.map { taught -> JSONValue in
      let answer: JSONValue =
        switch taught.answer {
        case .text(let text): JSONValue(text)
        case .tokens(let tokens): JSONValue(tokens)
        case .own: .null
        }
      return [
        taught.question.turns.turns, .array(taught.question.pictures.map { JSONValue(sha256($0.bytes)) }), answer,
      ]
    }
    var key = try VerifiedSide(source, fingerprint: source.fingerprint()).answerKey(
      alignment: source.alignment?.digest, arithmetic: compute.summary)
    key["questions"] = JSONValue(sha256(Bytes(Array(JSONValue.array(asked).text().utf8))))
    key["granularities"] = JSONValue(routing.granularities)
    key["measure"] = JSONValue(options.measure.rawValue)
    key["max_new_tokens"] = JSONValue(options.maxNewTokens)
    return key
  }
}
