import GristCore

/// How upstream's layout of a tensor became ours, as a file tells it, and the way back.
package struct SourceLayout: Sendable {
  /// What a file says of a tensor that was put together of several, which is not undone.
  package static let joined = "join"

  private let steps: [LayoutStep]
  /// Of a tensor that was cut: which of how many parts along axis 0 it is.
  package let part: (index: Int, count: Int)?

  /// - Parameter text: the steps as a name map spells them, with bars between; nil for none.
  ///
  /// Nil where they are not known, or there is no way back.
  package init?(_ text: String?) {
    var steps: [LayoutStep] = []
    var part: (index: Int, count: Int)?
    for (place, word) in (text ?? "").split(separator: "|").enumerated() {
      guard let step = LayoutStep(word.trimming { $0 == " " }) else { return nil }
      if case .split(let index, let count) = step {
        guard place == 0 else { return nil }
        part = (index, count)
      } else {
        steps.append(step)
      }
    }
    self.steps = steps
    self.part = part
  }

  /// A tensor in the layout that it had upstream; of one that was cut, this part of it.
  ///
  /// - Parameters:
  ///   - tensor: in our layout.
  ///   - shape: of the whole tensor upstream.
  ///
  /// - Throws: 65 when shape and steps do not lead to the tensor's.
  package func undone(_ tensor: SourceTensor, to shape: [Int]) throws -> SourceTensor {
    var shapes = [try part.map { try LayoutStep.split(index: $0.index, count: $0.count).shape(of: shape) } ?? shape]
    for step in steps { shapes.append(try step.shape(of: shapes[shapes.count - 1])) }
    guard shapes.last == tensor.shape else {
      throw GristError(
        .badData, "the layout that it had upstream does not lead to its shape", file: tensor.file, tensor: tensor.name,
        found: "\(shape) to \(tensor.shape)")
    }
    return try zip(steps, shapes).reversed().reduce(tensor) { tensor, undo in
      let (step, before) = undo
      if let inverse = step.inverse { return try tensor.rearranged([inverse]) }
      guard let reshaped = tensor.with(shape: before, storage: tensor.storage) else {
        throw GristError(.badData, "the shape is too large", file: tensor.file, tensor: tensor.name)
      }
      return reshaped
    }
  }
}

extension SourceTensor {
  /// Parts of a tensor that was cut along axis 0, in their order, as one; nil when they do not fit behind each other.
  package static func whole(of parts: [SourceTensor], named name: String) -> SourceTensor? {
    joined(parts, name: name)
  }
}
