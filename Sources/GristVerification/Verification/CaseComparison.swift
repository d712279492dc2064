import GristCore
import GristModel
import GristSources
import GristTemplates

extension [Int] {
  /// Whether some ids stand in a row among these.
  fileprivate func contains(ids: ArraySlice<Int>) -> Bool { firstRange(of: ids) != nil }
}

extension AskedModel {
  /// Asks this model what a reference was asked. The router decides for itself; the outputs are then compared at the
  /// reference's granularity, teacher-forced on its greedy tokens, so that a choice that differs and weights that
  /// differ show as two figures and not as one.
  ///
  /// - Throws: 65 when the record was made with another tokenizer, vocabulary or set of granularities.
  ///
  /// - Parameters:
  ///   - record: what the reference answered.
  ///   - indices: which of its cases are asked.
  ///   - progress: hears how many were asked.
  ///   - heard: is given each case's comparison.
  func compare(
    with record: ReferenceRecord, cases indices: [Int], progress: (Int) -> Void,
    heard: (Int, VerificationReport.Case) throws -> Void
  ) throws {
    var images = ImageCache(model)
    /// A finding about the model, not a fault of the verification: the other cases are still worth asking.
    func fail(_ index: Int, _ error: GristError) throws {
      try heard(
        index,
        VerificationReport.Case(
          reference: record.cases[index], decision: nil, divergences: [], greedyMatch: 0, failure: error.what))
    }
    try inGroups(indices.count) { place in
      progress(place)
      let index = indices[place]
      do {
        let (prompt, own) = try prepare(record.cases[index], clock: record.clock, images: &images)
        return Prepared(value: ForcedAnswer(record.cases[index], own, index: index), prompt: prompt)
      } catch let error as GristError where error.reason == .valueNotFinite {
        try fail(index, error)
        return nil
      }
    } run: { group in
      if plan != nil { images.forget() }
      let results: [VerificationReport.Case]
      do { results = try compare(group) } catch let error as GristError where error.reason == .valueNotFinite {
        // Whose value it was is found by asking each alone.
        for item in group {
          let result: VerificationReport.Case
          do {
            result = try compare([Prepared(value: item.value.again, prompt: item.prompt)])[0]
          } catch let error as GristError where error.reason == .valueNotFinite {
            try fail(item.value.index, error)
            continue
          }
          try heard(item.value.index, result)
        }
        return
      }
      for (item, result) in zip(group, results) { try heard(item.value.index, result) }
    }
  }

  /// The prompt at the reference's granularity, and what the model itself makes of the picture.
  private func prepare(
    _ reference: ReferenceRecord.Case, clock: ChatProgram.Clock?, images: inout ImageCache
  ) throws -> (prompt: VisionLanguageModel.PreparedPrompt, own: OwnChoice) {
    let question = reference.question
    let conversation = try question.conversation(clock: clock)
    let features = try images.features(of: question)
    let own = try model.prepare(conversation, images: features)
    guard own.inputIDs == reference.inputIDs else {
      // Where the question itself became the same ids, it is what stands around it that differs.
      let words = try model.tokenizer.encode(question.prompt, isStart: false)
      let sharesWords = words.count > 2 && reference.inputIDs.contains(ids: words.dropFirst().dropLast())
      throw GristError(
        .badData,
        sharesWords
          ? "the model's template writes a conversation down otherwise than the reference's"
          : "the model tokenizes a prompt otherwise than the reference did", file: model.path, found: question.prompt,
        advice: sharesWords ? "give the reference's template with --template" : "compare models with the same tokenizer"
      )
    }
    var choice = OwnChoice(decision: own.decision)
    if features.count == 1, let image = features.first, let granularity = own.granularity {
      choice.grid = try model.tokenGrid(of: image, granularity: granularity)
    }
    guard own.granularity != reference.granularity else { return (own, choice) }
    return (try model.prepare(conversation, images: features, granularity: reference.granularity), choice)
  }

  private func compare(_ group: [Prepared<ForcedAnswer>]) throws -> [VerificationReport.Case] {
    let longest = group.map(\.value.expected.count).max() ?? 0
    let sessions = try model.start(group.map(\.prompt), newTokens: longest)
    for (item, session) in zip(group, sessions) { try item.value.hear(0, session.logits, file: model.path) }
    try model.follow(sessions, group.map { Array($0.value.expected.dropLast()) }) { index, token, logits in
      try group[index].value.hear(token + 1, logits, file: model.path)
    }
    // Where the model's own answers depart from the reference's, they go on from there by themselves.
    for (item, session) in zip(group, sessions) { item.value.depart(session, after: item.prompt.sequenceLength) }
    while case let steps = zip(group, sessions).compactMap({ item, session in
      item.value.take(session, endTokens: model.endTokens).map { (session: session, tokens: [$0]) }
    }), !steps.isEmpty {
      try Interruption.check()
      try model.advance(steps)
    }
    return try group.map { try $0.value.compared(model) }
  }
}

/// What a model makes of a picture by itself.
private struct OwnChoice {
  let decision: RouterDecision?
  var grid: TokenGrid?
}

/// A reference's answer on its way through a model.
private final class ForcedAnswer {
  let reference: ReferenceRecord.Case
  let own: OwnChoice
  /// The case's place.
  let index: Int
  private var divergences: [Divergence] = []
  private var greedyMatch = 0
  /// The first token that the model would have chosen otherwise; nil once the model goes on with it.
  private var departure: Int?
  /// What the model itself answers, and whether all of it is there.
  private var answer: [Int] = []
  private var isDone = false

  init(_ reference: ReferenceRecord.Case, _ own: OwnChoice, index: Int) {
    (self.reference, self.own, self.index) = (reference, own, index)
  }

  /// The same, from the start.
  var again: ForcedAnswer { ForcedAnswer(reference, own, index: index) }

  var expected: [Int] { reference.tokens }

  /// Compares the logits of the token `index`.
  func hear(_ index: Int, _ logits: [Float], file: String) throws {
    guard index < expected.count else { return }
    guard reference.logits[index].count == logits.count else {
      throw GristError(
        .badData, "the reference has another vocabulary", file: file,
        found: "\(reference.logits[index].count) logits against \(logits.count)")
    }
    let divergence = Divergence(reference: reference.logits[index], model: logits, token: expected[index])
    divergences.append(divergence)
    if greedyMatch == index, divergence.agreesOnTop { greedyMatch += 1 }
    if departure == nil, greedyMatch <= index { departure = indexOfGreatest(logits) }
  }
  /// Goes back to where the model departs from what is expected.
  func depart(_ session: DecodingSession, after promptLength: Int) {
    answer = Array(expected.prefix(greedyMatch))
    isDone = departure == nil
    if !isDone { session.rewind(to: promptLength + greedyMatch) }
  }

  /// Takes the next token of the model's own answer; nil where nothing follows it.
  func take(_ session: DecodingSession, endTokens: Set<Int>) -> Int? {
    guard !isDone else { return nil }
    let token = departure ?? indexOfGreatest(session.logits)
    departure = nil
    answer.append(token)
    isDone = endTokens.contains(token) || answer.count == expected.count || !session.hasRoom
    return isDone ? nil : token
  }

  func compared(_ model: VisionLanguageModel) throws -> VerificationReport.Case {
    func text(_ tokens: [Int]) throws -> String {
      try model.tokenizer.decode(tokens.filter { !model.endTokens.contains($0) })
    }
    return VerificationReport.Case(
      reference: reference, decision: own.decision, divergences: divergences, greedyMatch: greedyMatch,
      grid: own.grid, answers: try .init(reference: text(expected), model: text(answer)))
  }
}
