import GristCore
import GristModel
import GristSources
import GristTemplates

extension [Int] {
  /// Whether some ids stand in a row among these.
  fileprivate func contains(ids: ArraySlice<Int>) -> Bool { firstRange(of: ids) != nil }
}

extension VisionLanguageModel {
  /// Asks this model what a reference was asked. The router decides for itself; the outputs are then compared at the
  /// reference's granularity, teacher-forced on its greedy tokens, so that a choice that differs and weights that
  /// differ show as two figures and not as one.
  ///
  /// - Throws: 65 when the record was made with another tokenizer, vocabulary or set of granularities.
  func cases(against record: ReferenceRecord, progress: (Int) -> Void) throws -> [VerificationReport.Case] {
    var images = ImageCache(self)
    return try record.cases.enumerated().map { index, reference in
      try Interruption.check()
      progress(index)
      do {
        return try compare(reference, clock: record.clock, images: &images)
      } catch let error as GristError where error.reason == .valueNotFinite {
        // A finding about the model, not a fault of the verification: the other cases are still worth asking.
        return VerificationReport.Case(
          reference: reference, decision: nil, divergences: [], greedyMatch: 0, failure: error.what)
      }
    }
  }

  private func grid(_ image: ImageFeatures?, _ prompt: PreparedPrompt) throws -> TokenGrid? {
    guard let image, let granularity = prompt.granularity else { return nil }
    return try tokenGrid(of: image, granularity: granularity)
  }

  private func compare(
    _ reference: ReferenceRecord.Case, clock: ChatProgram.Clock?, images: inout ImageCache
  ) throws -> VerificationReport.Case {
    let question = reference.question
    let conversation = try Conversation(message: question.prompt, hasImage: question.imageBytes != nil, clock: clock)
    let image = try images.features(of: question)
    let own = try prepare(conversation, image: image)
    guard own.inputIDs == reference.inputIDs else {
      // Where the question itself became the same ids, it is what stands around it that differs.
      let words = try tokenizer.encode(question.prompt, isStart: false)
      let sharesWords = words.count > 2 && reference.inputIDs.contains(ids: words.dropFirst().dropLast())
      throw GristError(
        .badData,
        sharesWords
          ? "the model's template writes a conversation down otherwise than the reference's"
          : "the model tokenizes a prompt otherwise than the reference did", file: path, found: question.prompt,
        advice: sharesWords ? "give the reference's template with --template" : "compare models with the same tokenizer"
      )
    }
    let prompt =
      own.granularity == reference.granularity
      ? own : try prepare(conversation, image: image, granularity: reference.granularity)
    let session = try start(prompt, newTokens: reference.tokens.count)
    var divergences: [Divergence] = []
    var greedyMatch = 0
    /// The first token that the model would have chosen otherwise.
    var departure: Int?
    for (index, token) in reference.tokens.enumerated() {
      guard reference.logits[index].count == session.logits.count else {
        throw GristError(
          .badData, "the reference has another vocabulary", file: path,
          found: "\(reference.logits[index].count) logits against \(session.logits.count)")
      }
      let divergence = Divergence(reference: reference.logits[index], model: session.logits, token: token)
      divergences.append(divergence)
      if greedyMatch == index, divergence.agreesOnTop { greedyMatch += 1 }
      if departure == nil, greedyMatch <= index { departure = indexOfGreatest(session.logits) }
      if index + 1 < reference.tokens.count { try session.advance(token) }
    }
    return VerificationReport.Case(
      reference: reference, decision: own.decision, divergences: divergences, greedyMatch: greedyMatch,
      grid: try grid(image, own),
      answers: try answers(reference.tokens, session, departure: departure, after: greedyMatch, prompt))
  }

  /// Both answers as text. Where the model's own departs from the reference's, it goes on from there by itself.
  private func answers(
    _ expected: [Int], _ session: DecodingSession, departure: Int?, after match: Int, _ prompt: PreparedPrompt
  ) throws -> VerificationReport.Case.Answers {
    var own = Array(expected.prefix(match))
    if var token = departure {
      session.rewind(to: prompt.sequenceLength + match)
      while own.count < expected.count {
        own.append(token)
        if endTokens.contains(token) || own.count == expected.count || !session.hasRoom { break }
        try session.advance(token)
        token = indexOfGreatest(session.logits)
      }
    }
    func text(_ tokens: [Int]) throws -> String { try tokenizer.decode(tokens.filter { !endTokens.contains($0) }) }
    return try VerificationReport.Case.Answers(reference: text(expected), model: text(own))
  }
}
