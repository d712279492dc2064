import GristCore
import GristKernels

/// Sums of moments over a fixed tree of samples: the list is cut into ``leaves`` runs, a run's samples are added in their
/// order, and runs are joined two by two. What is summed of a part of the runs and joined later is so the same to the last
/// bit as what one pass over all of them gives.
struct MomentTree {
  /// Runs that samples are cut into; of fewer samples some are empty.
  static let leaves = 16
  fileprivate static let levels = 4

  /// A run, or runs side by side that were joined: `index << level` is the first.
  struct Place: Hashable, Comparable {
    let level: Int
    let index: Int

    /// All runs.
    static let root = Place(uncheckedLevel: MomentTree.levels, 0)

    /// Nil for a place that the tree has not.
    init?(_ level: Int, _ index: Int) {
      guard (0...MomentTree.levels).contains(level), (0..<MomentTree.leaves >> level).contains(index) else {
        return nil
      }
      self.init(uncheckedLevel: level, index)
    }

    fileprivate init(uncheckedLevel level: Int, _ index: Int) { (self.level, self.index) = (level, index) }

    var range: Range<Int> { index << level..<(index + 1) << level }
    static func < (a: Place, b: Place) -> Bool { (a.range.lowerBound, a.level) < (b.range.lowerBound, b.level) }
  }

  /// Of each place that was not joined yet.
  private(set) var sums: [Place: [Float]]

  init(_ sums: [Place: [Float]] = [:]) { self.sums = sums }

  /// Which run a sample belongs to.
  static func leaf(ofSample index: Int, of count: Int) -> Int {
    // The run K whose samples are K · count / leaves and on.
    (0..<leaves).last { $0 * count / leaves <= index && index < ($0 + 1) * count / leaves } ?? 0
  }

  /// Which samples some runs are.
  static func samples(of runs: Range<Int>, of count: Int) -> Range<Int> {
    runs.lowerBound * count / leaves..<runs.upperBound * count / leaves
  }

  /// Takes what a run came to; runs come in their order.
  mutating func close(_ leaf: Int, _ values: [Float]) { sums[Place(uncheckedLevel: 0, leaf)] = values }

  /// Joins what can be joined once all of `runs` were gone through, and nothing beyond them.
  mutating func join(within runs: Range<Int>) {
    for level in 0..<Self.levels {
      for index in 0..<Self.leaves >> (level + 1) {
        let place = Place(uncheckedLevel: level + 1, index)
        guard runs.lowerBound <= place.range.lowerBound, place.range.upperBound <= runs.upperBound else { continue }
        let halves = [2 * index, 2 * index + 1].map { sums.removeValue(forKey: Place(uncheckedLevel: level, $0)) }
        switch (halves[0], halves[1]) {
        case (let first?, let second?): sums[place] = zip(first, second).map(+)
        // A run in which nothing was met adds nothing.
        case (let only?, nil), (nil, let only?): sums[place] = only
        case (nil, nil): break
        }
      }
    }
  }

  /// The whole, once all runs were joined; nil where something is missing.
  var root: [Float]? { sums[.root] }
}
