internal import CGristKernels
internal import Glibc
import GristCore

/// The kernel table of this machine, chosen once. Unsafe in name only: function pointers that are never written.
nonisolated(unsafe) let kernels: grist_kernel_table = grist_kernels().pointee

/// What computes: the pool, and how activations meet quantized weights.
public struct Compute: Sendable {
  /// The precision in which activations meet quantized weights.
  public enum Activations: String, Sendable, CaseIterable {
    /// Quantized to int8, one scale a token and group: integer products, the fast way.
    case int8
    /// Kept in f32; weights are expanded to f32 first. Isolates the error of the weights from that of the activations.
    case f32
  }

  /// From so many rows on matrices are multiplied in another order, and may be with other codes, than fewer: a prompt's
  /// rows are all of one kind or all of the other, however it is cut.
  package static let manyRows = 32

  public let pool: ThreadPool
  public let activations: Activations
  /// What the results of every operation are rounded to.
  public let rounding: Rounding
  /// How keys and values are kept; nil leaves it to the weights, see ``cachePrecision(isQuantized:)``.
  public let cache: CachePrecision?
  /// Whether weights that are no codes are rounded to int8 where they meet many rows, and so meet int8 activations.
  public let roundsPlainWeights: Bool

  /// Where tower and router are at full precision, they are tried with rounded weights first, and a choice whose margin
  /// is greater than this counts. Nil: no choice is made with rounded weights.
  public let choiceMargin: Float?

  public init(
    pool: ThreadPool, activations: Activations = .int8, rounding: Rounding = .none, cache: CachePrecision? = nil
  ) {
    self.init(
      pool: pool, activations: activations, rounding: rounding, cache: cache, choiceMargin: nil,
      roundsPlainWeights: false)
  }

  private init(
    pool: ThreadPool, activations: Activations, rounding: Rounding, cache: CachePrecision?, choiceMargin: Float?,
    roundsPlainWeights: Bool
  ) {
    self.pool = pool
    self.cache = cache
    self.rounding = rounding
    self.activations = activations
    self.choiceMargin = choiceMargin
    self.roundsPlainWeights = roundsPlainWeights
  }

  /// The same, with weights that are no codes rounded to int8, 256 columns with a scale, while they meet 32 rows and
  /// more: in a third of the time, and about as exact as a file's int8. Nil where this machine's kernels gain nothing
  /// by it, and where activations are not to be rounded.
  public var roundingPlainWeights: Compute? {
    guard WideProduct.isOffered, activations == .int8, rounding == .none else { return nil }
    return Compute(
      pool: pool, activations: activations, rounding: rounding, cache: cache, choiceMargin: choiceMargin,
      roundsPlainWeights: true)
  }

  /// The same, with weights that are no codes as they are.
  public var keepingPlainWeights: Compute {
    Compute(
      pool: pool, activations: activations, rounding: rounding, cache: cache, choiceMargin: choiceMargin,
      roundsPlainWeights: false)
  }

  /// The same, with choices tried in int8 first, see ``choiceMargin``. Nil where ``roundingPlainWeights`` is.
  public func tryingChoices(above margin: Float) -> Compute? {
    guard roundingPlainWeights != nil else { return nil }
    return Compute(
      pool: pool, activations: activations, rounding: rounding, cache: cache, choiceMargin: margin,
      roundsPlainWeights: false)
  }

  /// How keys and values of a decoder are kept: quantized weights on int8 activations leave f16 nothing to lose;
  /// anything more precise keeps f32.
  public func cachePrecision(isQuantized: Bool) -> CachePrecision {
    cache ?? (isQuantized && activations == .int8 ? .f16 : .f32)
  }

  /// Whether attention may multiply bf16 values: what quantized weights on int8 activations have computed is not as
  /// precise as those are. Anything more precise keeps f32.
  public func mayNarrow(isQuantized: Bool) -> Bool {
    (isQuantized || roundsPlainWeights) && activations == .int8 && rounding == .none
  }

  /// The name of the instruction set whose kernels run here.
  public static var instructionSet: String { String(cString: kernels.name) }

  /// What computes, for people and for what is kept: the kernels, and the precision of activations.
  public var summary: String {
    "\(Self.instructionSet), \(activations.rawValue) activations"
      + (choiceMargin.map { ", choices in int8 above a margin of \($0)" } ?? "")
  }

  /// - Throws: 64 when the environment variable GRISTMILL_ISA asks for an instruction set that this build does not
  ///   know.
  public static func checkEnvironment() throws {
    guard let name = getenv("GRISTMILL_ISA"), name.pointee != 0, !grist_kernel_name_is_known(name) else { return }
    #if arch(x86_64)
      let known = "portable, avx2, avxvnni, avx512 or avx512bf16"
    #elseif arch(arm64)
      let known = "portable or neon"
    #else
      let known = "portable"
    #endif
    throw GristError(
      .usage, "GRISTMILL_ISA names no instruction set of this build", found: String(cString: name),
      advice: "use \(known), or leave it unset")
  }

  /// Calls `body` for ranges of rows that together are all of `rows`.
  func overRows(_ rows: Int, cost columns: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let rowsPerTask = max(1, 16384 / max(columns, 1))
    let tasks = (rows + rowsPerTask - 1) / rowsPerTask
    pool.run(tasks) { task, _ in
      body(task * rowsPerTask..<min((task + 1) * rowsPerTask, rows))
    }
  }
}
