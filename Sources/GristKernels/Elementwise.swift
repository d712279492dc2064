internal import CGristKernels
import GristCore

extension Compute {
  /// RMSNorm of every row (Zhang & Sennrich 2019, as LLaMA computes it): weight · x / √(mean(x²) + ε).
  ///
  /// - Precondition: `weight` is as long as `x` is wide.
  public func rmsNorm(_ x: FloatMatrix, weight: [Float], epsilon: Float) -> FloatMatrix {
    precondition(weight.count == x.columns)
    let out = FloatMatrix(uninitializedRows: x.rows, columns: x.columns)
    overRows(x.rows, cost: x.columns) { range in
      for row in range {
        let offset = row * x.columns
        kernels.rms_norm(x.base + offset, weight, epsilon, out.base + offset, x.columns)
      }
    }
    round(out)
    return out
  }

  /// LayerNorm of every row: weight · (x − mean) / √(variance + ε) + bias, with the biased variance.
  ///
  /// - Precondition: `weight` and `bias` are as long as `x` is wide.
  public func layerNorm(_ x: FloatMatrix, weight: [Float], bias: [Float], epsilon: Float) -> FloatMatrix {
    precondition(weight.count == x.columns && bias.count == x.columns)
    let out = FloatMatrix(uninitializedRows: x.rows, columns: x.columns)
    overRows(x.rows, cost: x.columns) { range in
      for row in range {
        let offset = row * x.columns
        kernels.layer_norm(x.base + offset, weight, bias, epsilon, out.base + offset, x.columns)
      }
    }
    round(out)
    return out
  }

  /// x += y
  ///
  /// - Precondition: Both have the same shape.
  public func add(_ y: FloatMatrix, to x: FloatMatrix) {
    precondition(x.rows == y.rows && x.columns == y.columns)
    overRows(x.rows, cost: x.columns) { range in
      let offset = range.lowerBound * x.columns
      kernels.add(x.base + offset, y.base + offset, range.count * x.columns)
    }
    round(x)
  }

  /// Activation functions, in place.
  public enum Activation: Sendable {
    /// x · σ(1.702 x)
    case quickGELU
    /// x · Φ(x), with the error function
    case gelu
    case relu
  }

  public func apply(_ activation: Activation, to x: FloatMatrix) {
    overRows(x.rows, cost: x.columns) { range in
      let start = x.base + range.lowerBound * x.columns
      let count = range.count * x.columns
      switch activation {
      case .quickGELU: kernels.quick_gelu(start, count)
      case .gelu: kernels.gelu(start, count)
      case .relu: kernels.relu(start, count)
      }
    }
    round(x)
  }

  /// gate = SiLU(gate) · up, in place.
  ///
  /// - Precondition: Both have the same shape.
  public func siluMultiply(gate: FloatMatrix, up: FloatMatrix) {
    precondition(gate.rows == up.rows && gate.columns == up.columns)
    overRows(gate.rows, cost: gate.columns) { range in
      let offset = range.lowerBound * gate.columns
      kernels.silu_multiply(gate.base + offset, up.base + offset, range.count * gate.columns)
    }
    round(gate)
  }

  /// Rotary position embedding, rotate-half form, in place: every row holds heads of `headDimension`; `cos` and `sin`
  /// hold one row per row of `x`, `headDimension / 2` wide.
  ///
  /// - Precondition: `x` holds whole heads of an even width; `cos` and `sin` have its rows and half a head's columns.
  public func rotate(_ x: FloatMatrix, headDimension: Int, cos: FloatMatrix, sin: FloatMatrix) {
    precondition(headDimension % 2 == 0 && x.columns % headDimension == 0)
    precondition(cos.rows == x.rows && sin.rows == x.rows)
    precondition(cos.columns == headDimension / 2 && sin.columns == headDimension / 2)
    let half = headDimension / 2
    overRows(x.rows, cost: x.columns) { range in
      for row in range {
        for head in 0..<x.columns / headDimension {
          kernels.rotate_half(
            x.base + row * x.columns + head * headDimension, cos.base + row * half, sin.base + row * half, half)
        }
      }
    }
    round(x)
  }
}

extension FloatMatrix {
  /// Row `row` becomes the mean of a window of `source`'s rows, summed in order: `rows` times `columns` of them, where
  /// those of a window's row follow each other, and its rows begin `rowStride` apart, the first at `first`.
  ///
  /// - Precondition: All rows that are meant lie in the matrices, which are equally wide.
  public func setRow(
    _ row: Int, toMeanOf source: FloatMatrix, rows: Int, rowStride: Int, columns: Int, from first: Int
  ) {
    precondition(row >= 0 && row < self.rows && source.columns == self.columns && rows > 0 && columns > 0)
    precondition(first >= 0 && rowStride >= 0 && first + (rows - 1) * rowStride + columns <= source.rows)
    let width = self.columns
    let target = base + row * width
    for y in 0..<rows {
      for x in 0..<columns {
        let values = source.base + (first + y * rowStride + x) * width
        if y == 0 && x == 0 { target.update(from: values, count: width) } else { kernels.add(target, values, width) }
      }
    }
    guard rows * columns > 1 else { return }
    let weight = 1 / Float(rows * columns)
    for column in 0..<width { target[column] *= weight }
  }
}

/// Dot product in f32.
///
/// - Precondition: Both are equally long.
public func dot(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Float {
  precondition(a.count == b.count)
  guard let x = a.baseAddress, let y = b.baseAddress else { return 0 }
  return kernels.dot_float(x, y, a.count)
}
