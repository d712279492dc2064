internal import CGristKernels
import GristCore

extension GroupCoding {
  /// Calls `body` with the table's values, or nil.
  func withTable<Result>(_ body: (UnsafePointer<Int8>?) -> Result) -> Result {
    guard let table else { return body(nil) }
    return table.values.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  /// Turns rows of `columns` values in place; turning twice gives the rows back.
  func rotate(_ rows: UnsafeMutablePointer<Float>, count: Int, columns: Int) {
    guard rotation != .none else { return }
    precondition(rotation.fits(columns: columns))
    for row in 0..<count { kernels.rotate_blocks(rows + row * columns, rows + row * columns, columns) }
  }
}
