import GristCore

/// What to measure.
package struct BenchmarkPlan: Sendable, Equatable {
  /// Rows of the prompts whose time is taken, ascending.
  package let prefillRows: [Int]
  /// Rows that the cache holds before tokens are decoded, ascending. 0 stands for the shortest prompt there is, one
  /// row.
  package let depths: [Int]
  /// Tokens decoded at each depth.
  package let decodeTokens: Int
  /// How often everything is measured; medians are reported.
  package let repetitions: Int
  /// Whether every prompt runs once before its time is taken, so that memory that is used again has been touched.
  package let warmsUp: Bool
  /// Whether tower and router are measured, where the model has them.
  package let seesImages: Bool

  package static let defaultPrefillRows = [512, 2900]
  package static let defaultDepths = [0, 512, 2900]

  /// Lists that are nil become the defaults, without what is longer than `maximumLength`; given ones are sorted.
  ///
  /// - Throws: 64 when a number is out of range: prompts and depths up to `maximumLength` rows, at least one token, at
  ///   least one repetition.
  package init(
    prefillRows: [Int]? = nil, depths: [Int]? = nil, decodeTokens: Int = 16, repetitions: Int = 1,
    warmsUp: Bool = false, seesImages: Bool = true, maximumLength: Int
  ) throws {
    func checked(_ given: [Int]?, _ defaults: [Int], _ name: String, atLeast minimum: Int) throws -> [Int] {
      guard let given else { return defaults.filter { $0 <= maximumLength } }
      if let wrong = given.first(where: { $0 < minimum || $0 > maximumLength }) {
        throw GristError(
          .usage, "\(name) must be from \(minimum) to the model's \(maximumLength) rows", found: "\(wrong)")
      }
      return Set(given).sorted()
    }
    self.prefillRows = try checked(prefillRows, Self.defaultPrefillRows, "a prompt's length", atLeast: 1)
    self.depths = try checked(depths, Self.defaultDepths, "a depth", atLeast: 0)
    guard decodeTokens >= 1 else {
      throw GristError(.usage, "at least one token must be decoded", found: "\(decodeTokens)")
    }
    guard repetitions >= 1 else {
      throw GristError(.usage, "at least one repetition is needed", found: "\(repetitions)")
    }
    self.decodeTokens = decodeTokens
    self.repetitions = repetitions
    self.warmsUp = warmsUp
    self.seesImages = seesImages
  }

  /// A prompt to run, and what to measure of it: one run serves both.
  package struct Session: Equatable {
    package let rows: Int
    package let timesPrefill: Bool
    /// The depth that the prompt fills the cache to, if that is asked for.
    package let depth: Int?

    package init(rows: Int, timesPrefill: Bool, depth: Int?) {
      self.rows = rows
      self.timesPrefill = timesPrefill
      self.depth = depth
    }
  }

  /// The prompts that measure all of the plan, shortest first.
  package var sessions: [Session] {
    let shortest = depths.contains(0) ? [Session(rows: 1, timesPrefill: false, depth: 0)] : []
    return shortest
      + Set(prefillRows + depths).subtracting([0]).sorted().map { rows in
        Session(
          rows: rows, timesPrefill: prefillRows.contains(rows), depth: depths.contains(rows) ? rows : nil)
      }
  }
}
