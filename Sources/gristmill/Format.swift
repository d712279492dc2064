import GristCore

/// Tables, and what stands in their cells, as people read them.
enum Format {
  /// A text's beginning where it is longer than a cell should be.
  static func shortened(_ text: String, to length: Int = 44) -> String {
    text.count <= length ? text : text.prefix(length - 1) + "…"
  }

  /// Columns aligned: the first to the left, the others to the right.
  static func table(_ rows: [[String]], leftAligned: Set<Int> = [0]) -> String {
    var lines: [String] = []
    table(heading: [], rows, leftAligned: leftAligned, cells: { $0 }, line: { lines.append($0) })
    return lines.joined(separator: "\n")
  }

  /// A table of many rows, line by line: cells are made twice, once for the widths of columns, and not kept.
  static func table<Rows: Collection>(
    heading: [String], _ rows: Rows, leftAligned: Set<Int> = [0], cells: (Rows.Element) -> [String],
    line: (String) throws -> Void
  ) rethrows {
    // One long name must not widen every row.
    let shown = { (cells: [String]) in cells.map { $0.shortened(to: 160).visible() } }
    var widths = heading.map(\.count)
    for row in rows {
      for (column, cell) in shown(cells(row)).enumerated() {
        if column < widths.count { widths[column] = max(widths[column], cell.count) } else { widths.append(cell.count) }
      }
    }
    func text(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return leftAligned.contains(column) ? cell + space : space + cell
      }
      let text = padded.joined(separator: "  ")
      return String(decoding: text.utf8.dropLast(text.utf8.reversed().prefix { $0 == 0x20 }.count), as: UTF8.self)
    }
    if !heading.isEmpty { try line(text(heading)) }
    for row in rows { try line(text(shown(cells(row)))) }
  }
}
