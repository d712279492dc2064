import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

/// Converts in one go, as the command does.
@discardableResult
func convert(
  _ source: String, to path: String, _ name: Recipe.Name = .source, groupSize: Int = 64, set overrides: [String] = [],
  packing: Packing = .zstd, threads: Int = 2, visionTower: String? = nil
) throws -> ConversionPlan {
  let source = try Source.open(path: source, options: SourceOptions(visionTower: visionTower))
  let recipe = try Recipe(name, groupSize: groupSize, overrides: overrides.map { try StorageOverride($0) })
  let plan = try ConversionPlan(source, recipe: recipe)
  _ = try Converter(pool: ThreadPool(threads: threads), packing: packing).convert(
    source, plan: plan, recipe: recipe, to: path)
  return plan
}

/// A tensor's whole payload.
func payload(of name: String, in file: GristFile) throws -> [UInt8] {
  let record = try #require(file.tensor(named: name), "\(name)")
  return try record.chunks.range.flatMap { try file.payload(ofChunk: $0).array }
}

/// A checkpoint folder with these tensors, all f32, and no configuration: an architecture nobody knows.
func checkpoint(_ tensors: [(String, [Int], [Float])], in folder: TemporaryFolder, named name: String = "source") throws
  -> String
{
  var writer = SafetensorsWriter()
  for (name, shape, values) in tensors { try writer.add(name, shape: shape, floats: values) }
  try folder.write(name + "/model.safetensors", writer.encoded.array)
  return folder.file(name)
}

/// Reproducible values around zero.
func values(_ count: Int, scale: Float = 1) -> [Float] {
  var state: UInt32 = 12345
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return (Float(state >> 8) / Float(1 << 24) - 0.5) * scale
  }
}

/// A quantized or plain tensor of a .grist as f32.
func floats(_ name: String, in path: String) throws -> [Float] {
  let source = try Source.open(path: path)
  let tensor = try #require(source.tensors().first { $0.name == name })
  #expect(tensor.elementType == .f32)
  return try tensor.bytes().withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
}

enum Sources {
  static let crop = Fixtures.path("checkpoints/crop")
  static let sharded = Fixtures.path("checkpoints/bf16-sharded")
  static let tied = Fixtures.path("checkpoints/f16-tied")
}

extension Source {
  /// The model held to a record.
  func verify(
    against record: ReferenceRecord, limits: VerificationLimits = VerificationLimits(), compute: Compute
  ) throws -> VerificationReport {
    var options = Verification.Options()
    options.limits = limits
    return try Verification(self, against: .record(record), options: options, compute: compute).run()
  }
}
