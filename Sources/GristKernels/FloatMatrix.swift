import GristCore

/// A row-major matrix of f32 that owns its memory: activations on their way through a model.
///
/// A reference type: operations write in place. Shapes are checked by preconditions, since they come from a
/// configuration that was validated when the model was opened.
public final class FloatMatrix: @unchecked Sendable {
  // Unchecked: only this package writes, and there whoever made it, or threads of a pool to rows of their own.
  public let rows: Int
  public let columns: Int
  let base: UnsafeMutablePointer<Float>

  /// A zeroed matrix.
  public convenience init(rows: Int, columns: Int) {
    self.init(uninitializedRows: rows, columns: columns)
    base.initialize(repeating: 0, count: count)
  }

  /// A matrix whose values are whatever the memory held: for results that are written whole.
  package init(uninitializedRows rows: Int, columns: Int) {
    precondition(rows >= 0 && columns >= 0)
    self.rows = rows
    self.columns = columns
    let count = rows * columns
    base = RecycledMemory.take(byteCount: count * 4).bindMemory(to: Float.self, capacity: max(count, 1))
  }

  /// - Precondition: There are `rows · columns` values.
  public convenience init(rows: Int, columns: Int, values: [Float]) {
    self.init(rows: rows, columns: columns)
    precondition(values.count == rows * columns)
    values.withUnsafeBufferPointer { source in
      if let address = source.baseAddress { base.update(from: address, count: source.count) }
    }
  }

  /// Matrices of one width below each other.
  ///
  /// - Precondition: There is one, and all are equally wide.
  package convenience init(stacking parts: [FloatMatrix]) {
    self.init(uninitializedRows: parts.reduce(0) { $0 + $1.rows }, columns: parts[0].columns)
    var row = 0
    for part in parts {
      copyRows(0..<part.rows, of: part, toRow: row)
      row += part.rows
    }
  }

  deinit { RecycledMemory.give(base, byteCount: count * 4) }

  public var count: Int { rows * columns }

  /// - Precondition: Row and column lie in the matrix.
  public package(set) subscript(row: Int, column: Int) -> Float {
    get {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns)
      return base[row * columns + column]
    }
    set {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns)
      base[row * columns + column] = newValue
    }
  }

  /// The values of one row; valid while the matrix lives and is not written.
  ///
  /// - Precondition: The row lies in the matrix.
  /// - Throws: What `body` throws.
  public func withRow<Result>(_ row: Int, _ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result {
    precondition(row >= 0 && row < rows)
    return try withExtendedLifetime(self) {
      try body(UnsafeBufferPointer(start: base + row * columns, count: columns))
    }
  }

  /// - Precondition: The row lies in the matrix.
  /// - Throws: What `body` throws.
  /// Calls `body` with what gives the memory of a row; it must not be kept beyond the call.
  package func withMutableRows<Result>(
    _ body: ((_ row: Int) -> UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(self) {
      try body { row in
        precondition(row >= 0 && row < rows)
        return UnsafeMutableBufferPointer(start: base + row * columns, count: columns)
      }
    }
  }

  package func withMutableRow<Result>(
    _ row: Int, _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    precondition(row >= 0 && row < rows)
    return try withExtendedLifetime(self) {
      try body(UnsafeMutableBufferPointer(start: base + row * columns, count: columns))
    }
  }

  public func row(_ row: Int) -> [Float] { withRow(row) { Array($0) } }

  /// - Precondition: There are `columns` values, and the row lies in the matrix.
  package func setRow(_ row: Int, _ values: [Float]) {
    precondition(values.count == columns)
    withMutableRow(row) { _ = $0.update(from: values) }
  }

  /// The values as they lie in memory, row after row.
  public var bytes: Bytes {
    withExtendedLifetime(self) { Bytes(Array(UnsafeRawBufferPointer(start: base, count: count * 4))) }
  }

  /// The same without a copy: what they say changes with the matrix.
  package var sharedBytes: Bytes { Bytes(base: UnsafeRawPointer(base), count: count * 4, owner: self) }

  /// Copies whole rows from another matrix of the same width.
  ///
  /// - Precondition: Both ranges lie in their matrices, which are equally wide.
  package func copyRows(_ range: Range<Int>, of source: FloatMatrix, toRow destination: Int) {
    precondition(source.columns == columns && range.lowerBound >= 0 && range.upperBound <= source.rows)
    precondition(destination >= 0 && destination + range.count <= rows)
    (base + destination * columns).update(from: source.base + range.lowerBound * columns, count: range.count * columns)
  }

  /// The rows `range` as a matrix of their own.
  public func copy(rows range: Range<Int>) -> FloatMatrix {
    let result = FloatMatrix(uninitializedRows: range.count, columns: columns)
    result.copyRows(range, of: self, toRow: 0)
    return result
  }
}
