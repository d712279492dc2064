import GristCore
import GristImaging
import GristModel

/// A picture drawn on a terminal with half blocks, two pixels a character, as coarse as a grid of visual tokens: each
/// cell in the mean colour of what its token stands for.
struct TerminalPicture {
  /// How colours are said to the terminal.
  enum Palette {
    case trueColour, cube, shades

    /// By what the environment says the terminal can do.
    init(_ environment: [String: String]) {
      let promised = environment["COLORTERM"] ?? ""
      if environment["NO_COLOR"]?.isEmpty == false || environment["TERM"] == "dumb" {
        self = .shades
      } else {
        self = promised == "truecolor" || promised == "24bit" ? .trueColour : .cube
      }
    }
  }

  private let picture: RGBImage
  private let palette: Palette
  /// Characters of a line, and most lines.
  private static let (columns, lines) = (48, 20)

  /// - Parameters:
  ///   - image: the picture.
  ///   - grid: its cells; nil draws it as it is.
  ///   - palette: what the terminal shows.
  ///
  /// - Throws: 65 for a picture that is too long and thin to be drawn.
  init(_ image: RGBImage, grid: TokenGrid?, palette: Palette) throws {
    let scale = min(
      Double(Self.columns) / Double(image.width), Double(2 * Self.lines) / Double(image.height))
    let small = try image.resized(
      toWidth: max(1, Int(Double(image.width) * scale)), height: max(1, Int(Double(image.height) * scale)))
    self.palette = palette
    picture = try grid.map { try Self.averaged(small, $0) } ?? small
  }

  private static func averaged(_ small: RGBImage, _ grid: TokenGrid) throws -> RGBImage {
    let cells = cells(of: grid, width: small.width, height: small.height)
    var sums: [Cell: (count: Int, channels: [Int])] = [:]
    for (pixel, cell) in cells.enumerated() {
      for channel in 0..<3 {
        sums[cell, default: (0, [0, 0, 0])].channels[channel] += Int(small.pixels[3 * pixel + channel])
      }
      sums[cell]?.count += 1
    }
    var pixels: [UInt8] = []
    pixels.reserveCapacity(small.pixels.count)
    for cell in cells {
      guard let sum = sums[cell] else { continue }
      // What no token stands for is drawn dark.
      for channel in 0..<3 { pixels.append(UInt8(sum.channels[channel] / sum.count / (cell.isSeen ? 1 : 4))) }
    }
    return try RGBImage(width: small.width, height: small.height, pixels: pixels)
  }

  /// Pixels that are drawn in one colour.
  private struct Cell: Hashable {
    let area: Int
    /// Lines before it.
    let column: Int
    let row: Int
    let isSeen: Bool
  }

  /// The cell of each pixel of a picture of this size. What no token stands for lies before the first line of the first
  /// area or behind its last.
  private static func cells(of grid: TokenGrid, width: Int, height: Int) -> [Cell] {
    /// For each pixel the number of lines before its middle.
    func places(_ count: Int, _ lines: [Double], _ seen: ClosedRange<Double>, of extent: Int) -> [Int] {
      (0..<count).map { pixel in
        let middle = (Double(pixel) + 0.5) * Double(extent) / Double(count)
        return ([seen.lowerBound] + lines + [seen.upperBound]).count { $0 <= middle }
      }
    }
    let places = grid.areas.map { area in
      (
        area: area, columns: places(width, area.columns, area.across, of: grid.width),
        rows: places(height, area.rows, area.down, of: grid.height)
      )
    }
    func cell(_ x: Int, _ y: Int, _ index: Int) -> Cell {
      let (area, columns, rows) = places[index]
      let isSeen = (1...area.columns.count + 1).contains(columns[x]) && (1...area.rows.count + 1).contains(rows[y])
      return Cell(area: index, column: columns[x], row: rows[y], isSeen: isSeen)
    }
    return (0..<height).flatMap { y in
      (0..<width).map { x in
        places.indices.lazy.map { cell(x, y, $0) }.first(where: \.isSeen) ?? cell(x, y, 0)
      }
    }
  }

  /// The picture's lines, with what sets and resets colours.
  var text: String {
    stride(from: 0, to: picture.height, by: 2).map { y in
      var (line, last) = ("", "")
      for x in 0..<picture.width {
        let (colours, mark) = character(pixel(x, y), y + 1 < picture.height ? pixel(x, y + 1) : nil)
        // Cells are several characters wide: what does not change is not said again.
        if colours != last { line += colours }
        last = colours
        line += mark
      }
      return palette == .shades ? line : line + "\u{1B}[0m"
    }.joined(separator: "\n")
  }

  private typealias Colour = (red: Int, green: Int, blue: Int)

  private func pixel(_ x: Int, _ y: Int) -> Colour {
    let at = 3 * (y * picture.width + x)
    return (Int(picture.pixels[at]), Int(picture.pixels[at + 1]), Int(picture.pixels[at + 2]))
  }

  /// What sets a character's colours, and the character.
  private func character(_ upper: Colour, _ lower: Colour?) -> (colours: String, mark: String) {
    if palette == .shades {
      let colours = [upper, lower].compactMap { $0 }
      let light = colours.reduce(0) { $0 + 30 * $1.red + 59 * $1.green + 11 * $1.blue } / (100 * colours.count)
      return ("", [" ", "░", "▒", "▓", "█"][min(light * 5 / 256, 4)])
    }
    let behind = lower.map { "48;\(code($0))" } ?? "49"
    return ("\u{1B}[38;\(code(upper));\(behind)m", "▀")
  }

  private func code(_ colour: Colour) -> String {
    if palette == .trueColour { return "2;\(colour.red);\(colour.green);\(colour.blue)" }
    // The 6 × 6 × 6 cube of xterm's 256 colours.
    func level(_ value: Int) -> Int { (value * 5 + 127) / 255 }
    return "5;\(16 + 36 * level(colour.red) + 6 * level(colour.green) + level(colour.blue))"
  }
}
