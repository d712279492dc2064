internal import Foundation
import GristCore
import GristModel

/// The pictures of a report's cases, each in the page once, however many questions are about it.
struct ReportPictures {
  /// Bytes of pictures that a page may hold; further ones are left out, and said to be.
  static let limit = 48 << 20
  private static let width = 180.0

  /// Pictures and their class names, by length.
  private var known: [Int: [(picture: Bytes, name: String)]] = [:]
  /// The page's rules for the pictures that it holds.
  private(set) var css = ""
  /// Pictures that found no room.
  private(set) var leftOut = 0

  init(_ cases: [VerificationReport.Case]) {
    var (held, count) = (0, 0)
    for case let bytes? in cases.map(\.reference.question.imageBytes) where name(of: bytes) == nil {
      guard held + bytes.count <= Self.limit else {
        leftOut += 1
        continue
      }
      held += bytes.count
      count += 1
      let name = "picture\(count)"
      known[bytes.count, default: []].append((bytes, name))
      css += ".\(name) { background-image: url(data:image/jpeg;base64,\(Data(bytes.array).base64EncodedString())); }\n"
    }
  }

  private func name(of picture: Bytes) -> String? {
    known[picture.count]?.first { $0.picture.elementsEqual(picture) }?.name
  }

  /// The picture with the grid that the model chose drawn over it: a cell for every visual token of the tiles that show detail.
  func figure(_ item: VerificationReport.Case) -> String {
    guard let grid = item.grid, let bytes = item.reference.question.imageBytes, let name = name(of: bytes) else {
      return ""
    }
    let scale = min(Self.width / Double(grid.width), Self.width / Double(grid.height))
    let (width, height) = (Double(grid.width) * scale, Double(grid.height) * scale)
    func text(_ value: Double) -> String { NumberText.fixed(value, digits: 1) }
    let (left, right) = (text(grid.across.lowerBound * scale), text(grid.across.upperBound * scale))
    let (top, bottom) = (text(grid.down.lowerBound * scale), text(grid.down.upperBound * scale))
    func lines(_ columns: [Double], _ rows: [Double]) -> String {
      columns.map { "M\(text($0 * scale)) \(top)V\(bottom)" }.joined()
        + rows.map { "M\(left) \(text($0 * scale))H\(right)" }.joined()
    }
    let fine = lines(grid.columns, grid.rows)
    let cells = "\(grid.columns.count + 1) × \(grid.rows.count + 1) cells"
    // Everything but the cells, which a hole leaves open.
    let unseen = "M0 0H\(text(width))V\(text(height))H0ZM\(left) \(top)V\(bottom)H\(right)V\(top)Z"
    return """
      <svg class="picture\(grid.isTurned ? " turned" : "") \(name)" viewBox="0 0 \(text(width)) \(text(height))" width="\(text(width))" height="\(text(height))" \
      role="img" aria-label="the picture, in \(cells)"><title>\(cells)</title>\
      <path class="unseen" d="\(unseen)"/><path class="under" d="\(fine)"/><path class="over" d="\(fine)"/>\
      <path class="tiles" d="\(lines(grid.tileColumns, grid.tileRows))"/></svg>
      """
  }
}
