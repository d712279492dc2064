import GristCore
import GristKernels
import GristSources

/// Where a training stopped: weights, moments and steps done, in a safetensors file with a checksum.
package struct TrainingState {
  let path: String
  /// What two trainings do not share that go another way.
  let key: String

  package init(path: String, key: String) { (self.path, self.key) = (path, key) }

  private static let groups = ["weight", "first", "second"]

  /// Fills weights and moments with what was kept.
  ///
  /// - Returns: The steps done; nil where nothing was kept, or what another training kept.
  /// - Throws: 65 when the file is damaged.
  func restore(_ weights: RouterWeights, _ optimizer: AdamW) throws -> Int? {
    guard fileKind(at: path) == .file else { return nil }
    // It is written again: no input of the command's.
    let file = try SafetensorsFile(MappedFile(path: path, isInput: false).bytes, path: path)
    func metadata(_ name: String) -> String? { file.metadata.first { $0.name == name }?.value }
    guard metadata("key") == key, let steps = metadata("steps").flatMap({ Int($0) }) else { return nil }
    try file.requireChecksum()
    let tensors = Dictionary(file.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for (group, values) in zip(Self.groups, [weights, optimizer.first, optimizer.second]) {
      for (expected, target) in zip(weights.routing.tensors, values.tensors) {
        let name = "\(group).\(expected.name)"
        guard let tensor = tensors[name], tensor.elementType == .f32, tensor.elementCount == target.count else {
          throw GristError(
            .badData, "what was kept of the training lacks a tensor", file: path, tensor: name,
            advice: "remove the file, and the training begins anew")
        }
        target.copyRows(
          0..<target.rows,
          of: FloatMatrix(rows: target.rows, columns: target.columns, values: floats(try tensor.bytes(), .f32)),
          toRow: 0)
      }
    }
    return steps
  }

  /// - Throws: 74 when the file cannot be written; the one before stays then.
  func save(_ weights: RouterWeights, _ optimizer: AdamW) throws {
    var writer = SafetensorsWriter(metadata: [
      ("format", "gristmill-router-training"), ("key", key), ("steps", "\(optimizer.steps)"),
    ])
    for (group, values) in zip(Self.groups, [weights, optimizer.first, optimizer.second]) {
      for (expected, tensor) in zip(weights.routing.tensors, values.tensors) {
        try writer.add("\(group).\(expected.name)", .f32, shape: expected.shape, bytes: tensor.sharedBytes)
      }
    }
    try writer.writeWithChecksum(to: AtomicFile(path: path, forces: true))
  }
}
