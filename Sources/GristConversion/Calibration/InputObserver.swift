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
  /// Under the name of the first matrix that met the input: the moments of the run that is gone through, and of the runs
  /// before it.
  private var sums: [ByteName: (run: Int, moments: BlockMoments, before: MomentTree)] = [:]
  /// For every matrix the name that its moments stand under.
  private(set) var inputOf: [ByteName: ByteName] = [:]
  /// The run of samples that what is met from now on belongs to, and the first of those that are gone through.
  var run = 0
  let firstRun: Int
  private var last: (input: LinearInput, key: ByteName)?

  init(firstRun: Int = 0) { (run, self.firstRun) = (firstRun, firstRun) }

  func observe(_ name: String, _ input: LinearInput, _ compute: Compute) {
    if let last, last.input === input {
      inputOf[ByteName(name)] = last.key
      return
    }
    if let key = observe([name], input.x, compute) { last = (input, key) }
  }

  /// The error feedback for a matrix whose samples were all of one run; nil when its inputs were not seen.
  func feedback(for name: String) -> ErrorFeedback? {
    inputOf[ByteName(name)].flatMap { sums[$0] }.flatMap { ErrorFeedback(moments: $0.moments.values) }
  }

  /// Adds what enters matrices that share an input; returns the name it stands under, nil where no moments can be kept
  /// of it.
  @discardableResult
  func observe(_ names: [String], _ x: FloatMatrix, _ compute: Compute) -> ByteName? {
    guard let first = names.first.map({ ByteName($0) }) else { return nil }
    let key = inputOf[first] ?? first
    guard var own = sums[key] ?? BlockMoments(columns: x.columns).map({ (run, $0, MomentTree()) }) else { return nil }
    if own.run != run {
      own.before.close(own.run, own.moments.values)
      own.before.join(within: firstRun..<run)
      guard let fresh = BlockMoments(columns: x.columns) else { return nil }
      (own.run, own.moments) = (run, fresh)
    }
    own.moments.add(x, compute)
    sums[key] = own
    for name in names { inputOf[ByteName(name)] = key }
    return key
  }

  /// What every input came to once all of some runs were gone through.
  func trees(of runs: Range<Int>) -> [ByteName: MomentTree] {
    sums.mapValues { own in
      var tree = own.before
      tree.close(own.run, own.moments.values)
      tree.join(within: runs)
      return tree
    }
  }
}
