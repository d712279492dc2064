internal import CGristKernels
import GristCore

// A value that is not finite must end the work, not turn into fluent text: rounding to int8 has no code for it, a
// comparison passes over it, and a softmax takes an infinite score for one that does not count. Kernels carry NaN on,
// and what they compute is looked at where it could still vanish.

extension GristError {
  private static let notFinite = "the model computed a value that is not a finite number"

  fileprivate static func notFinite(_ value: Float, row: Int, _ place: String) -> GristError {
    var error = GristError(
      .badData, notFinite + ", in its \(place)", found: "\(value) in row \(row)",
      advice: "check the weights: convert the checkpoint again, or verify it against another copy")
    error.reason = .valueNotFinite
    return error
  }

  fileprivate func inPart(_ part: String) -> GristError {
    guard reason == .valueNotFinite else { return self }
    var copy = self
    copy.what = Self.notFinite + ", in \(part), " + what.dropFirst(Self.notFinite.count + 2)
    return copy
  }
}

extension Compute {
  /// - Throws: 65 with the first row that holds NaN or an infinity. One pass over the values by all threads.
  public func requireFinite(_ x: FloatMatrix, _ place: String) throws {
    let rowsPerTask = max(1, 65536 / max(x.columns, 1))
    let tasks = (x.rows + rowsPerTask - 1) / rowsPerTask
    @Sendable func isFinite(_ task: Int) -> Bool {
      let first = task * rowsPerTask
      let count = (min(first + rowsPerTask, x.rows) - first) * x.columns
      return kernels.greatest_magnitude_bits(x.base + first * x.columns, count) < Float.infinity.bitPattern
    }
    // A single row is looked at sooner than a thread wakes.
    guard tasks > 1 else {
      if x.count > 0, !isFinite(0) { throw Self.notFinite(x, place) }
      return
    }
    guard try pool.map(tasks, isFinite).allSatisfy({ $0 }) else { throw Self.notFinite(x, place) }
  }

  /// Runs `body`; what it finds not to be finite is said to be in `part`.
  ///
  /// - Throws: What `body` throws; values that are not finite are said to be the part's.
  public func inPart<Result>(_ part: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as GristError { throw error.inPart(part) }
  }

  private static func notFinite(_ x: FloatMatrix, _ place: String) -> GristError {
    for row in 0..<x.rows {
      if let value = x.withRow(row, { $0.first { !$0.isFinite } }) { return .notFinite(value, row: row, place) }
    }
    return .notFinite(.nan, row: 0, place)
  }
}
