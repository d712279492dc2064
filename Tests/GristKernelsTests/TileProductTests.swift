import CGristKernels
import GristCore
import Testing

/// The instruction sets this machine can run; the portable one judges the others.
let instructionSets: [String] = ["portable", "avx2", "avxvnni", "avx512", "avx512bf16", "neon"].filter {
  (name: String) in
  grist_kernel_table_named(name) != nil
}

func table(_ name: String) throws -> grist_kernel_table { try #require(grist_kernel_table_named(name)).pointee }

@Suite("Integer tile products") struct TileProductTests {
  /// Quantized weights and activations of one product, each in memory with guard pages.
  struct Operands {
    let shape: TileShape
    let tokens: Int
    let weights: [Float]
    let x: [Float]
    let codes: GuardedMemory<UInt8>
    let scales: GuardedMemory<UInt16>
    let activations: GuardedMemory<Int8>
    let activationScales: GuardedMemory<Float>
    let sums: GuardedMemory<Int32>
    let bias: GuardedMemory<Float>

    init(_ shape: TileShape, tokens: Int, seed: UInt64) throws {
      var generator = TestGenerator(seed: seed)
      let portable = try table("portable")
      self.shape = shape
      self.tokens = tokens
      weights = generator.normals(shape.rows * shape.columns)
      x = generator.normals(tokens * shape.columns)
      let codes = GuardedMemory(
        [UInt8](repeating: shape.codes.bits == 4 ? 0x88 : 0, count: shape.tiles * shape.codeBytesPerTile))
      let scales = GuardedMemory([UInt16](repeating: 0, count: shape.tiles * shape.groups * 16))
      weights.withUnsafeBufferPointer { weights in
        for tile in 0..<shape.tiles {
          _ = portable.quantize_rows(
            weights.baseAddress! + tile * 16 * shape.columns, min(16, shape.rows - tile * 16), shape.columns,
            shape.groupSize, Int32(shape.codes.bits), 1, 16, codes.base + tile * shape.codeBytesPerTile,
            scales.base + tile * shape.groups * 16, nil)
        }
      }
      let activations = GuardedMemory([Int8](repeating: 99, count: tokens * shape.paddedColumns))
      let activationScales = GuardedMemory([Float](repeating: .nan, count: tokens * shape.groups))
      let sums = GuardedMemory([Int32](repeating: 99, count: tokens * shape.groups))
      for token in 0..<tokens {
        x.withUnsafeBufferPointer {
          portable.quantize_activations(
            $0.baseAddress! + token * shape.columns, shape.columns, shape.groupSize,
            activations.base + token * shape.paddedColumns, activationScales.base + token * shape.groups,
            sums.base + token * shape.groups)
        }
      }
      (self.codes, self.scales, self.activations) = (codes, scales, activations)
      (self.activationScales, self.sums) = (activationScales, sums)
      bias = GuardedMemory(generator.normals(shape.rows))
    }

    func product(_ name: String, withBias: Bool = true) throws -> [Float] {
      let out = GuardedMemory([Float](repeating: .nan, count: tokens * shape.rows))
      var product = grist_tile_product(
        codes: codes.base, scales: scales.base, table: nil, tiles: shape.tiles, columns: shape.columns,
        group_size: shape.groupSize, rows: shape.rows, multiplier: 0.5, bias: withBias ? bias.base : nil,
        activations: activations.base, activation_scales: activationScales.base, activation_sums: sums.base,
        tokens: tokens, out: out.base, out_stride: shape.rows, wide_scales: nil)
      let kernels = try table(name)
      shape.codes == .int8 ? kernels.multiply_int8_tiles(&product) : kernels.multiply_int4_tiles(&product)
      return out.array
    }

    /// The product in double precision, from the very codes and scales.
    func exact() -> [Double] {
      (0..<tokens).flatMap { token in
        (0..<shape.rows).map { row in
          var sum = 0.0
          for column in 0..<shape.columns {
            let group = column / shape.groupSize
            let scale = grist_float_from_half(scales.elements[(row / 16 * shape.groups + group) * 16 + row % 16])
            sum +=
              Double(code(row, column)) * Double(scale)
              * Double(activations.elements[token * shape.paddedColumns + column])
              * Double(activationScales.elements[token * shape.groups + group])
          }
          return sum * 0.5 + Double(bias.elements[row])
        }
      }
    }

    private func code(_ row: Int, _ column: Int) -> Int {
      let tile = row / 16 * shape.codeBytesPerTile
      if shape.codes == .int8 {
        return Int(Int8(bitPattern: codes.elements[tile + column / 4 * 64 + row % 16 * 4 + column % 4]))
      }
      let byte = codes.elements[tile + column / 8 * 64 + row % 16 * 4 + column % 4]
      return Int(column % 8 < 4 ? byte & 15 : byte >> 4) - 8
    }
  }

  static let shapes: [(rows: Int, columns: Int, tokens: Int)] = [
    (16, 64, 1), (16, 64, 8), (1, 1, 1), (5, 7, 3), (17, 8, 9), (33, 48, 2), (16, 100, 17), (37, 588, 5), (64, 128, 16),
    (250, 344, 11), (16, 4096, 1), (48, 1024, 25),
  ]

  @Test(
    "every instruction set against exact arithmetic on the same codes", arguments: instructionSets,
    [(CodeWidth.int4, 64), (.int8, 64), (.int4, 32), (.int8, 128)])
  func againstExact(name: String, scheme: (codes: CodeWidth, groupSize: Int)) throws {
    for (index, size) in Self.shapes.enumerated() {
      let shape = try #require(
        TileShape(rows: size.rows, columns: size.columns, codes: scheme.codes, groupSize: scheme.groupSize))
      let operands = try Operands(shape, tokens: size.tokens, seed: UInt64(index))
      let out = try operands.product(name)
      let exact = operands.exact()
      for (a, b) in zip(out, exact) {
        #expect(abs(Double(a) - b) <= 2e-5 * (1 + abs(b) + Double(size.columns).squareRoot()), "\(size)")
      }
    }
  }

  @Test("extreme codes do not saturate", arguments: instructionSets, CodeWidth.allCases)
  func extremes(name: String, codes: CodeWidth) throws {
    let shape = try #require(TileShape(rows: 16, columns: 128, codes: codes, groupSize: 64))
    let operands = try Operands(shape, tokens: 9, seed: 5)
    for sign in [Int8(127), -127] {
      for index in operands.codes.elements.indices {
        operands.codes.elements[index] = codes == .int4 ? (sign > 0 ? 0xff : 0x00) : UInt8(bitPattern: sign)
      }
      for index in operands.activations.elements.indices { operands.activations.elements[index] = 127 }
      for index in operands.sums.elements.indices { operands.sums.elements[index] = 64 * 127 }
      let exact = operands.exact()
      for (a, b) in zip(try operands.product(name), exact) { #expect(abs(Double(a) - b) <= 1e-4 * (1 + abs(b))) }
    }
  }

  @Test("without a bias nothing is added", arguments: instructionSets)
  func noBias(name: String) throws {
    let shape = try #require(TileShape(rows: 20, columns: 72, codes: .int4, groupSize: 64))
    let operands = try Operands(shape, tokens: 3, seed: 8)
    let with = try operands.product(name)
    let without = try operands.product(name, withBias: false)
    for index in with.indices {
      #expect(abs(with[index] - without[index] - operands.bias.elements[index % 20]) < 1e-4)
    }
  }

  @Test("codes at odd addresses", arguments: instructionSets, CodeWidth.allCases)
  func misaligned(name: String, width: CodeWidth) throws {
    let shape = try #require(TileShape(rows: 32, columns: 96, codes: width, groupSize: 32))
    let operands = try Operands(shape, tokens: 10, seed: 3)
    let expected = try operands.product(name)
    var shifted = [UInt8](repeating: 0, count: 1) + operands.codes.array
    let out = GuardedMemory([Float](repeating: 0, count: 10 * 32))
    shifted.withUnsafeMutableBufferPointer { codes in
      var product = grist_tile_product(
        codes: codes.baseAddress! + 1, scales: operands.scales.base, table: nil, tiles: 2, columns: 96, group_size: 32,
        rows: 32,
        multiplier: 0.5, bias: operands.bias.base, activations: operands.activations.base,
        activation_scales: operands.activationScales.base, activation_sums: operands.sums.base, tokens: 10,
        out: out.base, out_stride: 32, wide_scales: nil)
      let kernels = grist_kernel_table_named(name)!.pointee
      width == .int8 ? kernels.multiply_int8_tiles(&product) : kernels.multiply_int4_tiles(&product)
    }
    #expect(out.array == expected)
  }
}
