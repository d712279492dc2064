internal import CGristKernels
import GristCore

extension Compute {
  /// What results are rounded to after every operation, as a model whose tensors are of that type computes: sums are
  /// f32, what is handed on is not.
  public enum Rounding: String, Sendable, CaseIterable {
    case none = "float32"
    case bfloat16
    case float16

    /// The nearest value that the type holds, to nearest even.
    public func callAsFunction(_ value: Float) -> Float {
      switch self {
      case .none: value
      case .bfloat16: Float(bitPattern: UInt32(bfloatBits(value)) << 16)
      case .float16: grist_float_from_half(grist_half_from_float(value))
      }
    }
  }

  /// The same with results rounded to another type.
  public func rounding(_ rounding: Rounding) -> Compute {
    Compute(pool: pool, activations: activations, rounding: rounding)
  }

  /// Rounds in place; nothing to do where results stay f32.
  public func round(_ x: FloatMatrix) {
    guard rounding != .none else { return }
    overRows(x.rows, cost: x.columns) { range in
      rounding(x.base + range.lowerBound * x.columns, count: range.count * x.columns)
    }
  }
}

extension Compute.Rounding {
  func callAsFunction(_ values: UnsafeMutablePointer<Float>, count: Int) {
    guard self != .none else { return }
    for index in 0..<count { values[index] = self(values[index]) }
  }
}

/// A matrix whose values are rounded to another type whenever they are used.
public struct RoundedWeights: LinearWeights {
  private let base: any LinearWeights
  private let rounding: Compute.Rounding

  public init(_ base: any LinearWeights, _ rounding: Compute.Rounding) {
    self.base = base
    self.rounding = rounding
  }

  public var rows: Int { base.rows }
  public var columns: Int { base.columns }
  public var isQuantized: Bool { false }

  public func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    base.expand(range, into: out)
    rounding(out, count: range.count * columns)
  }

  public func product(
    _ input: LinearInput, bias: [Float]?, into out: FloatMatrix, compute: Compute
  ) -> LinearProduct {
    expandedProduct(input.x, bias: bias, into: out, compute: compute)
  }
}
