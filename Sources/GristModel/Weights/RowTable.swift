import GristCore
import GristFormat
import GristKernels
import GristSources

/// A table stored row by row, in runs that are had when a row of theirs is looked up.
package struct RowTable: EmbeddingTable {
  package let scheme: TensorScheme
  package let rows: Int
  package let columns: Int
  /// Rows that a run holds, the last one what remains.
  package let rowsPerRun: Int
  /// File and tensor, for messages.
  package let path: String
  package let name: String
  /// The payload of a run, by its place.
  package let run: @Sendable (Int) throws -> Bytes

  package init(
    scheme: TensorScheme, rows: Int, columns: Int, rowsPerRun: Int, path: String, name: String,
    run: @escaping @Sendable (Int) throws -> Bytes
  ) {
    self.scheme = scheme
    self.rows = rows
    self.columns = columns
    self.rowsPerRun = rowsPerRun
    self.path = path
    self.name = name
    self.run = run
  }

  package func copyRow(_ index: Int, into out: UnsafeMutableBufferPointer<Float>) throws {
    try copyRow(index, of: run(index / rowsPerRun), into: out)
  }

  /// Has each run once, whatever the order of the rows.
  package func copyRows(
    _ rows: [Int], into place: (_ index: Int) -> UnsafeMutableBufferPointer<Float>
  ) throws {
    var last: (run: Int, bytes: Bytes)?
    for index in rows.indices.sorted(by: { rows[$0] < rows[$1] }) {
      let number = rows[index] / rowsPerRun
      let bytes = if let last, last.run == number { last.bytes } else { try run(number) }
      last = (number, bytes)
      try copyRow(rows[index], of: bytes, into: place(index))
    }
  }

  private func copyRow(_ index: Int, of bytes: Bytes, into out: UnsafeMutableBufferPointer<Float>) throws {
    let row = index % rowsPerRun
    switch scheme {
    case .plain(let type):
      let rowBytes = columns * type.byteCount
      guard let values = bytes.slice(row * rowBytes, rowBytes) else { throw missingRow(index) }
      expandElements(values, type, into: out)
    case .grouped(let grouped):
      guard let shape = grouped.shape(rows: rows, columns: columns), (row + 1) * shape.bytesPerTile <= bytes.count
      else { throw missingRow(index) }
      expandQuantizedRows(
        row..<row + 1, of: bytes, tilesInRun: bytes.count / shape.bytesPerTile, shape: shape, coding: grouped.coding,
        multiplier: grouped.multiplier, into: out)
    case .unknown(let scheme): throw scheme.error(file: path, tensor: name)
    }
  }

  private func missingRow(_ index: Int) -> GristError {
    GristError(
      .badData, "a row of the table is not in its chunk", file: path, tensor: name, found: "row \(index)",
      advice: "check the file with `gristmill inspect --check`")
  }
}
