internal import Foundation
import GristCore
import GristImaging
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
    for bytes in cases.flatMap(\.reference.question.pictures).map(\.bytes) where name(of: bytes) == nil {
      guard held + bytes.count <= Self.limit else {
        leftOut += 1
        continue
      }
      held += bytes.count
      count += 1
      let (name, data) = ("picture\(count)", Data(bytes.array))
      known[bytes.count, default: []].append((bytes, name))
      css +=
        ".\(name) { background-image: url(data:\(RGBImage.mediaType(of: bytes));base64,\(data.base64EncodedString())); }\n"
    }
  }

  private func plain(_ picture: Question.Picture) -> String {
    guard let name = name(of: picture.bytes), let image = try? RGBImage(encoded: picture.bytes, name: picture.name)
    else {
      return ""
    }
    let scale = min(Self.width / Double(image.width), Self.width / Double(image.height))
    func extent(_ pixels: Int) -> String { NumberText.fixed(Double(pixels) * scale, digits: 1) }
    return """
      <svg class="picture \(name)" width="\(extent(image.width))" height="\(extent(image.height))" role="img" \
      aria-label="one of the pictures"></svg>
      """
  }

  private func name(of picture: Bytes) -> String? {
    known[picture.count]?.first { $0.picture.elementsEqual(picture) }?.name
  }

  /// The picture with the grid that the model chose drawn over it: a cell for every visual token of the tiles that show
  /// detail.
  /// Of several pictures each as it is.
  func figure(_ item: VerificationReport.Case) -> String {
    let pictures = item.reference.question.pictures
    guard let grid = item.grid, let picture = pictures.first, let name = name(of: picture.bytes) else {
      return pictures.map(plain).joined()
    }
    let scale = min(Self.width / Double(grid.width), Self.width / Double(grid.height))
    let (width, height) = (Double(grid.width) * scale, Double(grid.height) * scale)
    func text(_ value: Double) -> String { NumberText.fixed(value, digits: 1) }
    func bounds(_ range: ClosedRange<Double>) -> (lower: String, upper: String) {
      (text(range.lowerBound * scale), text(range.upperBound * scale))
    }
    func path(_ columns: [Double], _ rows: [Double], in area: TokenGrid.Area) -> String {
      let (left, right) = bounds(area.across)
      let (top, bottom) = bounds(area.down)
      return columns.map { "M\(text($0 * scale)) \(top)V\(bottom)" }.joined()
        + rows.map { "M\(left) \(text($0 * scale))H\(right)" }.joined()
    }
    func hole(_ area: TokenGrid.Area) -> String {
      let (left, right) = bounds(area.across)
      let (top, bottom) = bounds(area.down)
      return "M\(left) \(top)V\(bottom)H\(right)V\(top)Z"
    }
    let fine = grid.areas.map { path($0.columns, $0.rows, in: $0) }.joined()
    let between = grid.areas.map { path(grid.tileColumns, grid.tileRows, in: $0) }.joined()
    let cells =
      grid.areas.count == 1
      ? grid.areas.map { "\($0.columns.count + 1) × \($0.rows.count + 1) cells" }.joined()
      : "\(grid.areas.reduce(0) { $0 + $1.cells }) cells"
    // Everything but the cells, which holes leave open.
    let unseen = "M0 0H\(text(width))V\(text(height))H0Z" + grid.areas.map(hole).joined()
    return """
      <svg class="picture\(grid.isTurned ? " turned" : "") \(name)" viewBox="0 0 \(text(width)) \(text(height))" width="\(text(width))" height="\(text(height))" \
      role="img" aria-label="the picture, in \(cells)"><title>\(cells)</title>\
      <path class="unseen" d="\(unseen)"/><path class="under" d="\(fine)"/><path class="over" d="\(fine)"/>\
      <path class="tiles" d="\(between)"/></svg>
      """
  }
}
