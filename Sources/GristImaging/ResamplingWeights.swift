/// Which input samples make each output sample of a bicubic resampling along one axis, and with what weights.
///
/// This is `precompute_coeffs` and `normalize_coeffs_8bpc` of Pillow's `Resample.c`, operation by operation: the order
/// of the double-precision arithmetic decides the last bit of a weight.
struct ResamplingWeights {
  /// Fraction bits of a weight: 32, less 8 for the sample and 2 for sums beyond 0...255 and the sign.
  static let fractionBits = 22

  /// First input sample of each output sample's window.
  let starts: [Int]
  /// Samples in each output sample's window.
  let counts: [Int]
  /// Weights of output sample `i` at `i * stride`, as many as its window has samples.
  let weights: [Int32]
  let stride: Int

  /// Weights for `inputCount` samples to `outputCount` samples, both at least 1.
  init(from inputCount: Int, to outputCount: Int) {
    precondition(inputCount > 0 && outputCount > 0)
    let scale = Double(inputCount) / Double(outputCount)
    let filterScale = max(scale, 1)
    let support = 2 * filterScale
    let inverseFilterScale = 1 / filterScale
    let stride = Int(support.rounded(.up)) * 2 + 1

    var starts: [Int] = []
    var counts: [Int] = []
    starts.reserveCapacity(outputCount)
    counts.reserveCapacity(outputCount)
    var weights = [Int32](repeating: 0, count: outputCount * stride)
    var window = [Double](repeating: 0, count: stride)
    for output in 0..<outputCount {
      let center = (Double(output) + 0.5) * scale
      let start = max(Int(center - support + 0.5), 0)
      let count = min(Int(center + support + 0.5), inputCount) - start
      var sum = 0.0
      for index in 0..<count {
        window[index] = bicubic((Double(index + start) - center + 0.5) * inverseFilterScale)
        sum += window[index]
      }
      for index in 0..<count {
        let weight = (sum != 0 ? window[index] / sum : window[index]) * Double(1 << Self.fractionBits)
        weights[output * stride + index] = Int32(weight < 0 ? weight - 0.5 : weight + 0.5)
      }
      starts.append(start)
      counts.append(count)
    }
    self.starts = starts
    self.counts = counts
    self.weights = weights
    self.stride = stride
  }

  /// The input samples that any output sample needs.
  var inputRange: Range<Int> {
    starts[0]..<(starts[starts.count - 1] + counts[counts.count - 1])
  }
}

/// The cubic convolution kernel with a = −0.5, zero beyond ±2.
private func bicubic(_ position: Double) -> Double {
  let a = -0.5
  let x = abs(position)
  if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
  if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
  return 0
}
