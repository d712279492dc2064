import GristCore
import GristKernels
import GristModel
import GristSources

extension ReferenceRecord.Case {
  /// What becomes of a choice's scores when the weights it is made with are rounded to int8, see
  /// `Compute.roundingPlainWeights`.
  public struct Int8Choice: Sendable, Equatable {
    /// The instruction set that computed it: another's may round otherwise.
    public let kernels: String
    /// How far the difference of any two scores is from the reference's at most: a choice whose margin is greater is the
    /// reference's.
    public let spread: Float

    package init(kernels: String, spread: Float) { (self.kernels, self.spread) = (kernels, spread) }
  }

  /// The cases with what becomes of their choices in int8; as they are where this machine gains nothing by it. Cases
  /// without a choice stay as they are. `progress` hears how many are done.
  ///
  /// - Throws: What running tower and router throws.
  public static func tryingInt8(
    _ cases: [ReferenceRecord.Case], of parameters: any ParameterStore, pool: ThreadPool,
    progress: (Int) -> Void = { _ in }
  ) throws -> [ReferenceRecord.Case] {
    // No margin is less: nothing is asked twice.
    guard let compute = Compute(pool: pool).tryingChoices(above: -1) else { return cases }
    let model = try VisionLanguageModel(parameters, compute: compute)
    var images = ImageCache(model)
    var result = cases
    for index in result.indices {
      guard let decision = result[index].decision else { continue }
      try Interruption.check()
      progress(index)
      guard let image = try images.features(of: result[index].question).first,
        let found = try model.route(image, text: result[index].inputIDs.filter { $0 != Conversation.imageID }),
        let spread = found.spread(from: decision)
      else { continue }
      result[index].int8Choice = Int8Choice(kernels: Compute.instructionSet, spread: spread)
    }
    return result
  }
}

/// Above which margin a choice made in int8 is the reference's, as a record's questions say.
public struct ChoiceBound: Sendable, Equatable {
  /// No question's scores were further apart from the reference's than this.
  public let margin: Float
  public let questions: Int

  /// The share of new questions of the same kind whose scores stay within the margin, at least and in the mean over what
  /// might have been recorded: of n + 1 questions in random order the last has the greatest spread of all once in n + 1
  /// times.
  public var confidence: Double { Double(questions) / Double(questions + 1) }

  /// - Returns: nil where no question was asked in int8, or some by other kernels than this machine's.
  public init?(_ cases: [ReferenceRecord.Case]) {
    self.init(spreads: cases.filter { $0.decision != nil }.map(\.int8Choice))
  }

  /// Of a record's JSON document.
  init?(record: JSONValue) {
    let decisions = (record["cases"]?.array ?? []).compactMap { $0["decision"] }.filter { $0 != .null }
    self.init(
      spreads: decisions.map { decision in
        guard let choice = decision["int8"], let kernels = choice["kernels"]?.string,
          let spread = choice["spread"]?.double
        else { return nil }
        return ReferenceRecord.Case.Int8Choice(kernels: kernels, spread: Float(spread))
      })
  }

  private init?(spreads: [ReferenceRecord.Case.Int8Choice?]) {
    guard let greatest = spreads.compactMap({ $0?.spread }).max(), greatest >= 0, greatest.isFinite,
      spreads.allSatisfy({ $0?.kernels == Compute.instructionSet })
    else { return nil }
    margin = greatest
    questions = spreads.count
  }

  /// What the record inside a file says.
  ///
  /// - Throws: 64 where the file's choices are not exact, it has no record, or one that does not say it for this machine.
  public init(of source: Source) throws {
    guard source.hasExactChoices == true, let file = source.file else {
      throw GristError(
        .usage, "only a file whose choices are exact can make them by their margin", file: source.path,
        advice: "convert with --recipe int4-exact-choices, or leave --exact-choices margin out")
    }
    guard let record = RecordSummary(in: file) else {
      throw GristError(
        .usage, "nothing says how large a margin has to be: the file has no record inside", file: source.path,
        advice: "gristmill record CHECKPOINT --probes FILE --into \(source.path)")
    }
    guard let bound = record.choiceBound else {
      throw GristError(
        .usage, "the record inside does not say how far choices in int8 are off on this CPU", file: source.path,
        found: "kernels \(Compute.instructionSet)",
        advice: "record --into it anew here, on a CPU with AVX-512 VNNI, or leave --exact-choices margin out")
    }
    self = bound
  }
}

extension Compute {
  /// The same, with the choices of `source` tried in int8 first, as the record inside it allows.
  ///
  /// - Throws: 64 when its choices are not exact, no record inside says how far int8 is off here, or activations are not
  ///   int8.
  public func tryingChoices(of source: Source) throws -> Compute {
    let bound = try ChoiceBound(of: source)
    guard let result = tryingChoices(above: bound.margin) else {
      throw GristError(
        .usage, "--exact-choices margin goes with int8 activations", file: source.path,
        advice: "leave one of the two out")
    }
    return result
  }
}
