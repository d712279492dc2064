import GristCore
import GristKernels
import GristModel
import GristSources

/// A model's weights, which tell an observer what they are multiplied with. The model itself knows nothing of it.
struct ObservingParameters: ParameterDecorator {
  let base: any ParameterStore
  let observer: InputObserver

  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    ObservedWeights(base: try base.matrix(name, rows: rows, columns: columns), name: name, observer: observer)
  }

}

private struct ObservedWeights: LinearWeights {
  let base: any LinearWeights
  let name: String
  let observer: InputObserver

  var rows: Int { base.rows }
  var columns: Int { base.columns }
  var isQuantized: Bool { base.isQuantized }

  func expand(_ range: Range<Int>, into out: UnsafeMutablePointer<Float>) { base.expand(range, into: out) }

  func product(_ input: LinearInput, bias: [Float]?, into out: FloatMatrix, compute: Compute) -> LinearProduct {
    observer.observe(name, input, compute)
    return base.product(input, bias: bias, into: out, compute: compute)
  }
}

/// Adds up the second moments of what every matrix meets. Matrices that share an input (queries, keys and values; gate
/// and up) share its moments.
final class InputObserver: @unchecked Sendable {
  // Unchecked: a model calls its products from one thread, in order.
  /// Moments under the name of the first matrix that met the input.
  private(set) var moments: [ByteName: BlockMoments] = [:]
  /// For every matrix the name that its moments stand under.
  private(set) var inputOf: [ByteName: ByteName] = [:]
  private var last: (input: LinearInput, key: ByteName)?

  func observe(_ name: String, _ input: LinearInput, _ compute: Compute) {
    if let last, last.input === input {
      inputOf[ByteName(name)] = last.key
      return
    }
    if let key = observe([name], input.x, compute) { last = (input, key) }
  }

  /// The error feedback for a matrix; nil when its inputs were not seen.
  func feedback(for name: String) -> ErrorFeedback? {
    inputOf[ByteName(name)].flatMap { moments[$0] }.flatMap { ErrorFeedback(moments: $0.values) }
  }

  /// Adds what enters matrices that share an input; returns the name it stands under, nil where no moments can be kept
  /// of it.
  @discardableResult
  func observe(_ names: [String], _ x: FloatMatrix, _ compute: Compute) -> ByteName? {
    guard let first = names.first.map({ ByteName($0) }) else { return nil }
    let key = inputOf[first] ?? first
    guard let moments = moments[key] ?? BlockMoments(columns: x.columns) else { return nil }
    moments.add(x, compute)
    self.moments[key] = moments
    for name in names { inputOf[ByteName(name)] = key }
    return key
  }
}
