import CGristKernels
import Foundation
import Testing

@Suite("Float kernels") struct FloatKernelTests {
  static let counts = [1, 2, 7, 8, 31, 32, 33, 64, 100, 577, 4096]

  private func expectClose(_ a: [Float], _ b: [Double], _ tolerance: Double, _ name: String) {
    #expect(a.count == b.count)
    for (x, y) in zip(a, b) { #expect(abs(Double(x) - y) <= tolerance * (1 + abs(y)), "\(name)") }
  }

  @Test("f16 and bf16 convert exactly, all 65536 of them", arguments: instructionSets)
  func conversions(name: String) throws {
    let kernels = try table(name)
    let bits = GuardedMemory((0...UInt16.max).map { $0 })
    let out = GuardedMemory([Float](repeating: 0, count: 65536))
    kernels.float_from_half(bits.base, out.base, 65536)
    for pattern in bits.elements {
      let expected = Float(Float16(bitPattern: pattern))
      let found = out.elements[Int(pattern)]
      #expect(found.bitPattern == expected.bitPattern || (found.isNaN && expected.isNaN))
      #expect(grist_float_from_half(pattern).isNaN == expected.isNaN)
      if !expected.isNaN { #expect(grist_half_from_float(expected) == pattern) }
    }
    kernels.float_from_bfloat(bits.base, out.base, 65536)
    for pattern in bits.elements {
      #expect(out.elements[Int(pattern)].bitPattern == UInt32(pattern) << 16)
    }
  }

  @Test("f32 rounds to the nearest f16")
  func halfRounding() {
    var generator = TestGenerator(seed: 1)
    for _ in 0..<200_000 {
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()))
      guard !value.isNaN else { continue }
      #expect(grist_half_from_float(value) == Float16(value).bitPattern, "\(value)")
    }
  }

  @Test("dot products", arguments: instructionSets)
  func dots(name: String) throws {
    let kernels = try table(name)
    for count in Self.counts {
      var generator = TestGenerator(seed: UInt64(count))
      let (a, b) = (generator.normals(count), generator.normals(count))
      let halves = GuardedMemory(a.map { Float16($0).bitPattern })
      let bfloats = GuardedMemory(a.map { UInt16($0.bitPattern >> 16) })
      let (x, y) = (GuardedMemory(a), GuardedMemory(b))
      func exact(_ weights: [Float]) -> [Double] { [zip(weights, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }] }
      let size = 1e-6 * Double(count).squareRoot() * 4
      expectClose([kernels.dot_float(x.base, y.base, count)], exact(a), size, "f32 \(count)")
      expectClose(
        [kernels.dot_half(halves.base, y.base, count)], exact(halves.elements.map { Float(Float16(bitPattern: $0)) }),
        size, "f16 \(count)")
      expectClose(
        [kernels.dot_bfloat(bfloats.base, y.base, count)],
        exact(bfloats.elements.map { Float(bitPattern: UInt32($0) << 16) }), size, "bf16 \(count)")
    }
  }

  @Test("norms and softmax", arguments: instructionSets)
  func norms(name: String) throws {
    let kernels = try table(name)
    for count in Self.counts {
      var generator = TestGenerator(seed: UInt64(count))
      let (values, w, b) = (generator.normals(count), generator.normals(count), generator.normals(count))
      let (x, weight, bias) = (GuardedMemory(values), GuardedMemory(w), GuardedMemory(b))
      let out = GuardedMemory([Float](repeating: .nan, count: count))
      let n = Double(count)
      let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / n
      kernels.rms_norm(x.base, weight.base, 1e-5, out.base, count)
      expectClose(
        out.array, zip(values, w).map { Double($0) / (square + 1e-5).squareRoot() * Double($1) }, 1e-5, "rms \(count)")
      let mean = values.reduce(0.0) { $0 + Double($1) } / n
      let variance = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / n
      kernels.layer_norm(x.base, weight.base, bias.base, 1e-5, out.base, count)
      expectClose(
        out.array,
        values.indices.map {
          (Double(values[$0]) - mean) / (variance + 1e-5).squareRoot() * Double(w[$0]) + Double(b[$0])
        }, 2e-5, "layer norm \(count)")
      let scores = GuardedMemory(values.map { $0 * 20 })
      kernels.softmax(scores.base, count)
      let greatest = values.max()! * 20
      let exponentials = values.map { exp(Double($0 * 20) - Double(greatest)) }
      expectClose(
        scores.array, exponentials.map { $0 / exponentials.reduce(0, +) }, 1e-6, "softmax \(count)")
    }
  }

  @Test("activation functions, from far below to far above", arguments: instructionSets)
  func activationFunctions(name: String) throws {
    let kernels = try table(name)
    let values = stride(from: Float(-120), through: 120, by: 0.37).map { $0 } + [0, -0.0, 1e-30, -1e-30, 3e4, -3e4]
    func run(_ kernel: (UnsafeMutablePointer<Float>, Int) -> Void) -> [Float] {
      let x = GuardedMemory(values)
      kernel(x.base, values.count)
      return x.array
    }
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    expectClose(
      run { kernels.quick_gelu($0, $1) }, values.map { Double($0) * sigmoid(1.702 * Double($0)) }, 2e-6, "quick GELU")
    expectClose(
      run { kernels.gelu($0, $1) }, values.map { Double($0) * 0.5 * (1 + erf(Double($0) / 2.0.squareRoot())) }, 2e-6,
      "GELU")
    expectClose(run { kernels.relu($0, $1) }, values.map { max(Double($0), 0) }, 0, "ReLU")
    let up = GuardedMemory(values.map { $0 * 0.5 })
    expectClose(
      run { kernels.silu_multiply($0, up.base, $1) },
      values.map { Double($0) * sigmoid(Double($0)) * Double($0) * 0.5 }, 3e-6, "SiLU")
  }

  @Test("rotation and sums", arguments: instructionSets)
  func rotation(name: String) throws {
    let kernels = try table(name)
    for half in [1, 3, 16, 64] {
      var generator = TestGenerator(seed: UInt64(half))
      let values = generator.normals(2 * half)
      let angles = generator.normals(half)
      let head = GuardedMemory(values)
      let (cosines, sines) = (GuardedMemory(angles.map { cosf($0) }), GuardedMemory(angles.map { sinf($0) }))
      kernels.rotate_half(head.base, cosines.base, sines.base, half)
      for index in 0..<half {
        let (low, high, angle) = (Double(values[index]), Double(values[index + half]), Double(angles[index]))
        #expect(abs(Double(head.elements[index]) - (low * cos(angle) - high * sin(angle))) < 1e-6)
        #expect(abs(Double(head.elements[index + half]) - (high * cos(angle) + low * sin(angle))) < 1e-6)
      }
    }
    let (x, y) = (GuardedMemory([Float](repeating: 1, count: 37)), GuardedMemory([Float](repeating: 2, count: 37)))
    kernels.add(x.base, y.base, 37)
    kernels.axpy(3, y.base, x.base, 37)
    #expect(x.array == [Float](repeating: 9, count: 37))
  }

  @Test("activations quantize to the nearest code", arguments: instructionSets)
  func activationCodes(name: String) throws {
    let kernels = try table(name)
    for count in Self.counts {
      var generator = TestGenerator(seed: UInt64(count))
      var values = generator.normals(count)
      if count > 70 { for index in 64..<min(128, count) { values[index] = 0 } }
      let padded = (count + 7) / 8 * 8
      let groups = (count + 63) / 64
      let x = GuardedMemory(values)
      let codes = GuardedMemory([Int8](repeating: 99, count: padded))
      let scales = GuardedMemory([Float](repeating: .nan, count: groups))
      let sums = GuardedMemory([Int32](repeating: 99, count: groups))
      kernels.quantize_activations(x.base, count, 64, codes.base, scales.base, sums.base)
      for group in 0..<groups {
        let range = group * 64..<min((group + 1) * 64, count)
        let greatest = range.map { abs(values[$0]) }.max()!
        #expect(abs(scales.elements[group] - greatest / 127) <= greatest * 1e-6)
        #expect(sums.elements[group] == range.reduce(Int32(0)) { $0 + Int32(codes.elements[$1]) })
        for index in range {
          #expect(abs(Float(codes.elements[index]) * scales.elements[group] - values[index]) <= greatest / 127 * 0.5001)
        }
      }
      #expect(codes.elements[count...].allSatisfy { $0 == 0 })
    }
  }

  @Test("tiny and huge activations stay finite", arguments: instructionSets)
  func extremeActivations(name: String) throws {
    let kernels = try table(name)
    for value in [Float.leastNonzeroMagnitude, 1e-38, 1e-30, 1e30, 3e38] {
      let x = GuardedMemory([value, -value, value / 2, 0])
      let codes = GuardedMemory([Int8](repeating: 99, count: 8))
      let (scales, sums) = (GuardedMemory([Float.nan]), GuardedMemory([Int32(99)]))
      kernels.quantize_activations(x.base, 4, 64, codes.base, scales.base, sums.base)
      #expect(scales.elements[0].isFinite)
      #expect(abs(Float(codes.elements[0]) * scales.elements[0] - value) <= max(value * 0.01, 1e-36))
    }
  }
}
