import GristCore
import GristFormat
import GristKernels
import GristModel
import Testing

@Suite("Tables that are looked up by row") struct RowTableTests {
  @Test("19.15: rows come in any order, and each run is had once for them")
  func runsOnce() throws {
    let (rows, columns, rowsPerRun) = (100, 4, 8)
    let counter = Counter()
    let table = RowTable(
      scheme: .plain(.f32), rows: rows, columns: columns, rowsPerRun: rowsPerRun, path: "file", name: "table"
    ) { run in
      counter.count += 1
      let values = (run * rowsPerRun * columns..<min((run + 1) * rowsPerRun, rows) * columns).map { Float($0) }
      return values.withUnsafeBytes { Bytes([UInt8]($0)) }
    }
    let wanted = (0..<300).map { $0 * 37 % rows }
    let out = FloatMatrix(rows: wanted.count, columns: columns)
    try out.withMutableRows { row in try table.copyRows(wanted) { row($0) } }
    for (index, row) in wanted.enumerated() {
      #expect(out.row(index) == (0..<columns).map { Float(row * columns + $0) })
    }
    #expect(counter.count == (rows + rowsPerRun - 1) / rowsPerRun)
  }
}

private final class Counter: @unchecked Sendable {
  var count = 0
}
