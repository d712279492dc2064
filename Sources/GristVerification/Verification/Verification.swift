internal import FoundationEssentials
import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

/// Holds a model to a reference: the same questions to both, their answers compared, and their weights where the
/// reference has some.
///
///     let model = try Source.open(path: "model.grist")
///     let reference = try Reference.open(nil, model: model, asksQuestions: false)
///     let report = try Verification(model, against: reference, compute: compute).run()
///     print(report.passed)
public struct Verification: Sendable {
  public struct Options: Sendable {
    public var limits = VerificationLimits()
    /// Tokens of each answer to compare.
    public var maxNewTokens = 16
    /// What templates are told that write the day down.
    public var clock: ChatProgram.Clock?
    /// Whether the router is also asked with one part at a time from the model, everything else from the reference.
    public var attributesParts = false
    /// Memory that each side keeps to: weights that do not fit are read again for every pass, and questions go through
    /// together as far as they have room. Nil: none.
    public var memoryBudget: MemoryBudget?
    /// Asks this part of a record's questions alone; ``VerificationParts`` joins what they give.
    public var part: QuestionPart?

    public init() {}
  }

  private let model: Source
  private let reference: Reference
  private let questions: [Question]
  private let options: Options
  private let compute: Compute

  /// - Parameters:
  ///   - model: what is verified.
  ///   - reference: what it is held to.
  ///   - questions: what both are asked; a record has its own.
  ///   - options: what is demanded, and how much is compared.
  ///   - compute: runs the model. The reference keeps its activations in f32, whatever the model does.
  public init(
    _ model: Source, against reference: Reference, questions: [Question] = [], options: Options = Options(),
    compute: Compute
  ) {
    self.model = model
    self.reference = reference
    self.questions = questions
    self.options = options
    self.compute = compute
  }

  /// Asks what a folder does not hold yet of a record's questions, or of a part of them, and keeps it there.
  ///
  /// - Parameters:
  ///   - folder: keeps every comparison; one that was stopped goes on.
  ///   - progress: hears the fraction done, and what is being done.
  ///
  /// - Returns: How many of the questions the folder holds.
  /// - Throws: 64 for a reference that is no record, and as ``run(folder:progress:)`` does.
  @discardableResult
  public func compare(folder: String, progress: (Double, String) -> Void = { _, _ in }) throws -> Int {
    guard case .record(let record) = reference else { throw keptOfNoRecord }
    _ = try memoryPlans()
    return try cases(record, folder: folder, progress).count
  }

  private var keptOfNoRecord: GristError {
    GristError(
      .usage, "comparisons are kept of a record alone", file: model.path,
      advice: "record the reference first, which can be done in parts too")
  }

  /// Every comparison, or those of a part; what a folder holds is not asked again.
  private func cases(
    _ record: ReferenceRecord, folder path: String?, _ progress: (Double, String) -> Void
  ) throws -> [VerificationReport.Case] {
    try requireSameUnpadding(record)
    let folder = try path.map { try VerificationFolder(path: $0, model, record, arithmetic: compute.summary) }
    var cases = folder?.cases ?? [:]
    let wanted = options.part.map { Array($0.range(of: record.cases.count)) } ?? Array(record.cases.indices)
    let missing = wanted.filter { cases[$0] == nil }
    if !missing.isEmpty {
      let asked = try asked(record)
      try asked.compare(with: record, cases: missing) {
        progress(Double($0) / Double(missing.count), asked.label("asking the model"))
      } heard: { index, result in
        cases[index] = result
        try folder?.append(result, index: index)
      }
    }
    return record.cases.indices.compactMap { cases[$0] }
  }

  /// Asks, compares, and reports all that was found.
  ///
  /// - Parameters:
  ///   - folder: keeps every comparison with a record, so that one that was stopped goes on; nil keeps nothing.
  ///   - progress: hears the fraction done of a stage, and what is being done.
  ///
  /// - Throws: 64 when parts are to be attributed and the reference is a record, 65 when it was made with another
  ///   tokenizer, vocabulary or set of granularities, what running the models throws, and 130 when the user interrupts.
  public func run(
    folder: String? = nil, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> VerificationReport {
    if folder != nil, case .model = reference { throw keptOfNoRecord }
    // Before the reference is asked, what it says may take an hour: whether the model has room, too.
    _ = try memoryPlans()
    let record = try record(progress)
    let cases = try cases(record, folder: folder, progress)
    let weights = try weights(progress)
    return VerificationReport(
      model: VerifiedSide(model, fingerprint: weights?.modelFingerprint), reference: side(record, weights),
      date: Date.now.formatted(.iso8601),
      arithmetic: compute.summary, referenceLoss: record.loss, limits: options.limits, cases: cases,
      hasRouter: try model.configuration().vision?.usesRouter == true, weights: weights,
      ownAlignment: model.alignment?.digest == record.alignment ? nil : alignment(record),
      hasExactChoices: compute.choiceMargin == nil ? model.hasExactChoices : false, parts: try parts(record, progress))
  }

  /// How the model and, where it is no record, the reference are run within the budget; nil without one.
  ///
  /// - Throws: 64 with the smallest budget that works when the one asked for is too small.
  public func memoryPlans() throws -> (model: MemoryPlan, reference: MemoryPlan?)? {
    guard options.memoryBudget != nil else { return nil }
    switch reference {
    case .record(let record): return try asked(record).plan.map { ($0, nil) }
    case .model(let source):
      return try asked(model, compute: compute).plan.map { ($0, try asked(source, compute: exact).plan) }
    }
  }

  /// The model, to be asked what a reference was.
  private func asked(_ record: ReferenceRecord) throws -> AskedModel {
    try AskedModel(
      model, record.cases.map(\.question), newTokens: record.cases.map(\.tokens.count).max() ?? 0,
      lengths: record.cases.map(\.sequenceLength), budget: options.memoryBudget, clock: record.clock, compute: compute)
  }

  /// One side, to be asked the questions.
  private func asked(_ source: Source, compute: Compute) throws -> AskedModel {
    try AskedModel(
      source, questions, newTokens: options.maxNewTokens, budget: options.memoryBudget, clock: options.clock,
      compute: compute)
  }

  /// A reference keeps its activations in f32.
  private var exact: Compute { Compute(pool: compute.pool, activations: .f32) }

  private func side(_ record: ReferenceRecord, _ weights: WeightComparison?) -> VerifiedSide {
    switch reference {
    case .record: VerifiedSide(record)
    case .model(let source): VerifiedSide(source, fingerprint: weights?.referenceFingerprint)
    }
  }

  /// The reference's answers: the record's, or freshly computed ones.
  private func record(_ progress: (Double, String) -> Void) throws -> ReferenceRecord {
    switch reference {
    case .record(let record): return record
    case .model(let source):
      let asked = try asked(source, compute: exact)
      let cases = try asked.record(questions, clock: options.clock) {
        progress(Double($0) / Double(max(questions.count, 1)), asked.label("asking the reference"))
      }
      return ReferenceRecord(
        fingerprint: "", source: source.path, loss: source.loss, clock: options.clock,
        correctsUnpadding: asked.model.configuration.vision?.unpadding == .byCells,
        alignment: source.alignment?.digest, cases: cases)
    }
  }

  /// - Throws: 65 when the reference cropped its grids otherwise: its prompts are others.
  private func requireSameUnpadding(_ record: ReferenceRecord) throws {
    let corrects = try model.configuration().vision?.unpadding == .byCells
    guard corrects != record.correctsUnpadding else { return }
    throw GristError(
      .badData, "the model and the reference crop grids in different ways", file: model.path,
      found: corrects ? "corrected, the reference as upstream" : "as upstream, the reference corrected",
      advice: "record the reference again with --unpadding \(corrects ? "corrected" : "upstream")")
  }

  /// What is said of a router that is another one than the reference's.
  private func alignment(_ record: ReferenceRecord) -> String {
    model.alignment?.summary ?? "the reference's router was aligned, the model's was not"
  }

  private func weights(_ progress: (Double, String) -> Void) throws -> WeightComparison? {
    guard case .model(let source) = reference else { return nil }
    return try WeightComparison(model: model, reference: source, pool: compute.pool) {
      progress($0, "comparing weights")
    }
  }

  private func parts(_ record: ReferenceRecord, _ progress: (Double, String) -> Void) throws -> [PartEffect] {
    guard options.attributesParts else { return [] }
    guard case .model(let source) = reference else {
      throw GristError(.usage, "--by-part needs a checkpoint as reference, not a record")
    }
    return try attributeRouterChanges(
      reference: source.parameters(pool: compute.pool, residency: asked(source, compute: exact).model.residency),
      model: model.parameters(pool: compute.pool, residency: asked(record).model.residency), record: record,
      compute: compute, tieMargin: options.limits.tieMargin
    ) { progress(0, "with its \($0.rawValue)") }
  }
}
