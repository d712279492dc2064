import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

/// A model that is asked many questions: one after the other, or within a budget of memory, several together where
/// their rows have room.
package struct AskedModel: Sendable {
  package let model: VisionLanguageModel
  /// Nil without a budget.
  package let plan: MemoryPlan?
  /// Of the longest answer.
  let newTokens: Int

  /// - Parameters:
  ///   - source: the model.
  ///   - questions: what it will be asked.
  ///   - newTokens: the longest answer.
  ///   - lengths: rows of the prompts where they are known; else whatever the router chooses has room, or as much as
  ///     it may.
  ///   - budget: memory to keep to.
  ///   - clock: what templates are told that write the day down.
  ///   - compute: runs it.
  ///
  /// - Throws: As opening it does, 64 with the smallest budget that works when this one is too small.
  package init(
    _ source: Source, _ questions: [Question], newTokens: Int, lengths: [Int] = [], budget: MemoryBudget?,
    clock: ChatProgram.Clock?, compute: Compute
  ) throws {
    let opened = try source.model(compute: compute)
    guard let budget else {
      self.init(opened, newTokens: newTokens)
      return
    }
    let plan = try locating(file: source.path) {
      let prompts = try opened.extents(of: questions, lengths: lengths, clock: clock)
      return try MemoryPlan(
        opened.memoryNeeds(), opened.memoryRequests(prompts, newTokens: newTokens), budget: budget.byteCount())
    }
    self.init(try opened.running(plan), plan, newTokens: newTokens)
  }

  /// A model that is opened already.
  init(_ model: VisionLanguageModel, _ plan: MemoryPlan? = nil, newTokens: Int) {
    (self.model, self.plan, self.newTokens) = (model, plan, newTokens)
  }

  /// What is being done, and while weights stream how fast.
  func label(_ text: String) -> String {
    guard let streaming = model.streaming, streaming.seconds > 0 else { return text }
    func rate(_ bytes: Double) -> String { NumberText.fixed(bytes / 1e9, digits: 2) }
    return "\(text), \(rate(streaming.bytesPerSecond)) of the disk's \(rate(streaming.bytesPerReadingSecond)) GB/s"
  }

  /// A question that was looked at, on its way to the decoder.
  struct Prepared<Value> {
    let value: Value
    let prompt: VisionLanguageModel.PreparedPrompt
  }

  /// Takes questions `0 ..< count` through `prepare`, one by one, and as many together as have room through `run`.
  ///
  /// - Throws: 64 when a prompt is longer than there is room for, and what the two throw.
  func inGroups<Value>(
    _ count: Int, prepare: (Int) throws -> Prepared<Value>?, run: ([Prepared<Value>]) throws -> Void
  ) throws {
    var group: [Prepared<Value>] = []
    var taken = 0
    func finish() throws {
      if !group.isEmpty { try run(group) }
      (group, taken) = ([], 0)
    }
    for index in 0..<count {
      try Interruption.check()
      guard let next = try prepare(index) else { continue }
      let rows = min(next.prompt.sequenceLength + newTokens, model.configuration.maximumLength)
      try plan?.requireRoom(rows: rows, file: model.path)
      if taken + rows > plan?.rows ?? 0 { try finish() }
      group.append(next)
      taken += rows
    }
    try finish()
  }
}

extension VisionLanguageModel {
  /// How long the questions' prompts may become, or are.
  fileprivate func extents(
    of questions: [Question], lengths: [Int], clock: ChatProgram.Clock?
  ) throws -> [PromptExtent] {
    try questions.enumerated().map { index, question in
      let pictures = try question.pictures.map { try picture(encoded: $0.bytes, name: $0.name) }
      let extent = try self.extent(
        of: question.conversation(clock: clock), tiles: pictures.map { try tiles(of: $0) })
      return lengths.isEmpty ? extent : extent.known(rows: lengths[index])
    }
  }
}
