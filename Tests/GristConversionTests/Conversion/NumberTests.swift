import Foundation
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("Difficult numbers and shapes") struct NumberTests {
  let folder = try! TemporaryFolder()

  private func roundTrip(
    _ values: [Float], _ shape: [Int], _ recipe: Recipe.Name, groupSize: Int = 64, set: [String] = []
  ) throws -> (found: [Float], record: TensorRecord) {
    let source = try checkpoint([("w", shape, values)], in: folder)
    try convert(source, to: folder.file("x.grist"), recipe, groupSize: groupSize, set: set)
    let record = try #require(GristFile(path: folder.file("x.grist")).tensor(named: "w"))
    return (try floats("w", in: folder.file("x.grist")), record)
  }

  /// ‖found − expected‖ / ‖expected‖, in doubles.
  private func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
    let (errors, squares) = zip(found, expected).reduce((0.0, 0.0)) { sums, pair in
      let difference = Double(pair.0) - Double(pair.1)
      return (sums.0 + difference * difference, sums.1 + Double(pair.1) * Double(pair.1))
    }
    return (errors / squares).squareRoot()
  }

  @Test(
    "rows that fill no tile, widths that fill no group",
    arguments: [
      [1, 1], [1, 33], [15, 64], [17, 70], [33, 1], [5, 588], [31, 7], [16, 65], [100, 129], [19, 3, 2, 5],
    ],
    [4, 8])
  func oddShapes(shape: [Int], bits: Int) throws {
    for groupSize in [32, 64, 128] {
      let original = values(shape.reduce(1, *))
      let (found, record) = try roundTrip(
        original, shape, .source, set: ["w=int\(bits):\(groupSize)"])
      // int8 is turned where columns come in blocks of 64.
      let columns = shape.dropFirst().reduce(1, *)
      #expect(
        record.scheme.name == "int\(bits) g\(groupSize)"
          + (bits == 4 ? " table" : columns % Rotation.block == 0 ? " rotated" : ""))
      #expect(found.count == original.count)
      let error = relativeError(found, original)
      #expect(error < (bits == 8 ? 0.01 : 0.12))
      #expect(abs(error - record.relativeError) < 1e-5)
    }
  }

  @Test("groups of nothing but zeros stay zeros", arguments: [Recipe.Name.int8, .int4All])
  func zeroGroups(recipe: Recipe.Name) throws {
    var original = values(32 * 192)
    for row in 0..<32 { for column in 64..<128 { original[row * 192 + column] = 0 } }
    let (found, _) = try roundTrip(original, [32, 192], recipe)
    for row in 0..<32 { #expect(found[row * 192 + 64..<row * 192 + 128].allSatisfy { $0 == 0 }) }
    let (zeros, record) = try roundTrip([Float](repeating: 0, count: 32 * 192), [32, 192], recipe)
    #expect(zeros.allSatisfy { $0 == 0 } && record.relativeError == 0)
  }

  @Test(
    "very large and very small values come through by a scale exponent",
    arguments: [1e-30, 1e-20, 1e-8, 1e-4, 1, 1e4, 1e8, 1e20, 1e30, 1e37] as [Float], [Recipe.Name.int8, .int4All])
  func scaleExponent(scale: Float, recipe: Recipe.Name) throws {
    let original = values(32 * 64, scale: scale)
    let (found, record) = try roundTrip(original, [32, 64], recipe)
    #expect(found.allSatisfy { $0.isFinite })
    #expect(relativeError(found, original) < (recipe == .int8 ? 0.01 : 0.12))
    if case .grouped(let grouped) = record.scheme {
      #expect(grouped.scaleExponent == 0 || !(1e-3...1e6).contains(scale))
    }
  }

  @Test("19.3: values near the largest float are refused by name", arguments: [Recipe.Name.int8, .int4All])
  func largest(recipe: Recipe.Name) throws {
    var original = values(32 * 64, scale: 1)
    original[5] = .greatestFiniteMagnitude
    let error = #expect(throws: GristError.self) { try roundTrip(original, [32, 64], recipe) }
    #expect(error?.code == .badData && error?.what == "a value is too large to be quantized")
  }

  @Test(
    "19.3: a value far greater than the rest leaves the other rows what they say",
    arguments: [1e6, 1e7, 1e8, 1e9] as [Float])
  func outlier(value: Float) throws {
    for recipe in [Recipe.Name.int8, .int4All] {
      var original = values(64 * 256, scale: 0.02)
      original[3 * 256 + 5] = value
      let (found, record) = try roundTrip(original, [64, 256], recipe)
      let rows = (0..<64).filter { $0 != 3 }
      let worst =
        rows.map { relativeError(Array(found[$0 * 256..<$0 * 256 + 256]), Array(original[$0 * 256..<$0 * 256 + 256])) }
        .max() ?? .infinity
      #expect(worst < (recipe == .int8 ? 0.05 : 0.16), "\(recipe) \(value)")
      // The file tells the worst row, and the sum over all of them tells nothing.
      #expect(record.relativeError < 0.11)
      let told = try #require(record.worstRowError)
      #expect(told >= Double(worst) * 0.99 && told < 0.2, "\(told) \(worst)")
    }
  }

  @Test("19.3: rows that drown are told", arguments: [Recipe.Name.int8, .int4All])
  func drownedRows(recipe: Recipe.Name) throws {
    var original = values(64 * 256, scale: 0.02)
    original[3 * 256 + 5] = 1e13
    let (_, record) = try roundTrip(original, [64, 256], recipe)
    let told = try #require(record.worstRowError)
    #expect(record.relativeError < 0.11 && told > 0.9, "\(told)")
    let path = try checkpoint([("w", [64, 256], original)], in: folder)
    let source = try Source.open(path: path)
    let choice = try Recipe(recipe)
    let summary = try Converter(pool: ThreadPool(threads: 2), packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: choice), recipe: choice, to: folder.file("told.grist"))
    #expect(summary.notes.contains { $0.hasPrefix("w: a row lost ") })
  }

  @Test("subnormal values neither fail nor grow")
  func subnormal() throws {
    let (found, _) = try roundTrip(values(32 * 64, scale: 1e-42), [32, 64], .int8)
    #expect(found.allSatisfy { abs($0) <= 1e-42 })
  }

  static let bad: [Float] = [.nan, .infinity, -.infinity]

  @Test(
    "NaN or infinity in a tensor that is to be quantized or rounded is 65, with its place, and leaves nothing",
    arguments: bad, [Recipe.Name.int8, .int4, .int4All, .f16, .bf16])
  func notFinite(value: Float, recipe: Recipe.Name) throws {
    var original = values(40 * 70)
    original[33 * 70 + 65] = value
    let source = try checkpoint([("a", [4], [1, 2, 3, 4]), ("w", [40, 70], original)], in: folder)
    let error = #expect(throws: GristError.self) { try convert(source, to: folder.file("x.grist"), recipe) }
    #expect(error?.code == .badData)
    #expect(error?.file == source + "/model.safetensors")
    #expect(error?.tensor == "w")
    #expect(error?.found?.hasSuffix("at row 33, column 65") == true)
    let tensor = try #require(Checkpoint(path: source).tensor(named: "w"))
    #expect(error?.offset == tensor.offset.map { $0 + UInt64((33 * 70 + 65) * 4) })
    #expect(error?.advice == "keep the tensor as it is with --set 'w=source'")
    #expect(folder.contents == ["source"])
    // The advice works.
    try convert(source, to: folder.file("x.grist"), recipe, set: ["w=source"])
  }

  @Test("values that are kept and are no finite numbers are told", arguments: bad)
  func notFiniteAndKept(value: Float) throws {
    var norm = values(64)
    norm[3] = value
    let path = try checkpoint([("matrix", [64, 64], values(4096)), ("norm", [64], norm)], in: folder)
    let source = try Source.open(path: path)
    let recipe = try Recipe(.int8)
    let summary = try Converter(pool: ThreadPool(threads: 2), packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file("m.grist"))
    #expect(
      summary.notes == [
        "norm holds values that are not finite numbers; they are kept as they came, and will spoil answers"
      ])
  }

  @Test("the source recipe keeps NaN and infinity, to the bit")
  func keepsNotFinite() throws {
    var original = values(40 * 70)
    original[1] = Float(bitPattern: 0x7fc0_1234)
    original[2] = .infinity
    let (found, record) = try roundTrip(original, [40, 70], .source)
    #expect(found.map(\.bitPattern) == original.map(\.bitPattern))
    #expect(record.relativeError == 0)
  }

  @Test(
    "values too large for the narrower type are 65", arguments: [(Recipe.Name.f16, Float(65_520)), (.bf16, 0x1.ffp127)])
  func tooLarge(recipe: Recipe.Name, limit: Float) throws {
    var original = values(40 * 70)
    original[7] = limit.nextDown
    let (found, _) = try roundTripPlain(original, recipe)
    #expect(found.allSatisfy { $0.isFinite })
    original[7] = limit
    let error = #expect(throws: GristError.self) { _ = try roundTripPlain(original, recipe) }
    #expect(error?.code == .badData)
    #expect(error?.tensor == "w")
    #expect(error?.what == "a value is too large for \(recipe.rawValue)")
  }

  /// Through f16 or bf16 and back to f32.
  private func roundTripPlain(_ values: [Float], _ recipe: Recipe.Name) throws -> (found: [Float], path: String) {
    let source = try checkpoint([("w", [40, 70], values)], in: folder)
    try convert(source, to: folder.file("n.grist"), recipe)
    try convert(folder.file("n.grist"), to: folder.file("f.grist"), .f32)
    return (try floats("w", in: folder.file("f.grist")), folder.file("f.grist"))
  }

  @Test("f64 that does not fit f32 is 65, not infinity")
  func doubles() throws {
    var writer = SafetensorsWriter()
    let doubles = [Double](repeating: 1e300, count: 32 * 64)
    try writer.add("w", .f64, shape: [32, 64], bytes: doubles.withUnsafeBytes { Bytes([UInt8]($0)) })
    try folder.write("source/model.safetensors", writer.encoded.array)
    for recipe in [Recipe.Name.f32, .int8, .f16] {
      let error = #expect(throws: GristError.self) {
        try convert(folder.file("source"), to: folder.file("x.grist"), recipe)
      }
      #expect(error?.code == .badData)
      #expect(error?.tensor == "w")
    }
    try convert(folder.file("source"), to: folder.file("x.grist"), .source)
  }
}

@Suite("A conversion that fails leaves nothing behind, hidden files included") struct FailingConversionTests {
  let folder = try! TemporaryFolder()

  private func fails(_ source: String, _ recipe: Recipe.Name = .int8, output: String = "x.grist") throws -> GristError?
  {
    let before = folder.contents
    let error = #expect(throws: GristError.self) { try convert(source, to: folder.file(output), recipe) }
    #expect(folder.contents == before)
    return error
  }

  @Test("damage in the middle of a .grist is found while it is converted")
  func damagedSource() throws {
    try convert(Sources.crop, to: folder.file("s.grist"))
    // A byte in the middle of the data, where it is not padding.
    var bytes = try readFile(folder.file("s.grist")).array
    let place = try #require(bytes[(bytes.count / 2)...].firstIndex { $0 != 0 })
    bytes[place] ^= 0x40
    try folder.write("s.grist", bytes)
    let error = try fails(folder.file("s.grist"))
    #expect(error?.code == .badData)
    #expect(error?.file == folder.file("s.grist"))
    #expect(error?.what.hasPrefix("the checksum of chunk") == true)
    #expect(error?.tensor != nil)
  }

  @Test("what stood at the destination stays")
  func keepsOld() throws {
    try folder.write("x.grist", [1, 2, 3])
    let source = try checkpoint([("w", [40, 70], [Float](repeating: .nan, count: 2800))], in: folder)
    _ = try fails(source)
    #expect(try readFile(folder.file("x.grist")).array == [1, 2, 3])
  }

  @Test("a source that is not there is 66, and a destination without a folder 74")
  func places() throws {
    #expect(try fails(folder.file("nowhere"))?.code == .missingInput)
    #expect(try fails(Sources.crop, output: "no/x.grist")?.code == .inputOutput)
  }

  @Test("a truncated or lying source is 65", arguments: [0, 7, 100, 300_000])
  func truncated(length: Int) throws {
    let bytes = try readFile(Sources.crop + "/model.safetensors").array
    try folder.write("source/model.safetensors", Array(bytes[..<length]))
    let error = try fails(folder.file("source"))
    #expect(error?.code == .badData)
    #expect(error?.file == folder.file("source/model.safetensors"))
    #expect(error?.offset != nil)
  }
}
