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

  public let pool: ThreadPool
  public let activations: Activations
  /// What the results of every operation are rounded to.
  public let rounding: Rounding
  /// How keys and values are kept; nil leaves it to the weights, see ``cachePrecision(isQuantized:)``.
  public let cache: CachePrecision?

  public init(
    pool: ThreadPool, activations: Activations = .int8, rounding: Rounding = .none, cache: CachePrecision? = nil
  ) {
    self.pool = pool
    self.cache = cache
    self.rounding = rounding
    self.activations = activations
  }

  /// How keys and values of a decoder are kept: quantized weights on int8 activations leave f16 nothing to lose;
  /// anything more precise keeps f32.
  public func cachePrecision(isQuantized: Bool) -> CachePrecision {
    cache ?? (isQuantized && activations == .int8 ? .f16 : .f32)
  }

  /// Whether attention may multiply bf16 values: what quantized weights on int8 activations have computed is not as
  /// precise as those are. Anything more precise keeps f32.
  public func mayNarrow(isQuantized: Bool) -> Bool { isQuantized && activations == .int8 && rounding == .none }

  /// The name of the instruction set whose kernels run here.
  public static var instructionSet: String { String(cString: kernels.name) }

  /// What computes, for people and for what is kept: the kernels, and the precision of activations.
  public var summary: String { "\(Self.instructionSet), \(activations.rawValue) activations" }

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
