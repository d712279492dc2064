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

  /// Asks, compares, and reports all that was found.
  ///
  /// - Parameter progress: hears the fraction done of a stage, and what is being done.
  ///
  /// - Throws: 64 when parts are to be attributed and the reference is a record, 65 when it was made with another
  ///   tokenizer, vocabulary or set of granularities, what running the models throws, and 130 when the user interrupts.
  public func run(progress: (Double, String) -> Void = { _, _ in }) throws -> VerificationReport {
    let record = try record(progress)
    let cases = try model.model(compute: compute).cases(against: record) {
      progress(Double($0) / Double(record.cases.count), "asking the model")
    }
    let weights = try weights(progress)
    return VerificationReport(
      model: VerifiedSide(model, fingerprint: weights?.modelFingerprint), reference: side(record, weights),
      date: Date.now.formatted(.iso8601),
      arithmetic: "\(Compute.instructionSet), \(compute.activations.rawValue) activations",
      referenceLoss: record.loss, limits: options.limits, cases: cases,
      hasRouter: try model.configuration().vision?.usesRouter == true, weights: weights,
      hasExactChoices: model.hasExactChoices, parts: try parts(record, progress))
  }

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
      let exact = Compute(pool: compute.pool, activations: .f32)
      let cases = try source.model(compute: exact).record(
        questions, maxNewTokens: options.maxNewTokens, clock: options.clock
      ) { progress(Double($0) / Double(max(questions.count, 1)), "asking the reference") }
      return ReferenceRecord(
        fingerprint: "", source: source.path, loss: source.loss, clock: options.clock, cases: cases)
    }
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
      reference: source.parameters(pool: compute.pool), model: model.parameters(pool: compute.pool), record: record,
      compute: compute, tieMargin: options.limits.tieMargin
    ) { progress(0, "with its \($0.rawValue)") }
  }
}
