import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("What visual tokens stand for") struct TokenGridTests {
  private static func model(_ path: String = Fixtures.conformanceCheckpoint) throws -> VisionLanguageModel {
    try Source.open(path: path).model(compute: Compute(pool: ThreadPool(threads: 2)))
  }

  private static func picture(_ width: Int, _ height: Int) throws -> RGBImage {
    try RGBImage(width: width, height: height, pixels: [UInt8](repeating: 90, count: width * height * 3))
  }

  @Test(
    "cells are as many as the prompt's rows of detail, whose layout upstream's is", arguments: [36, 72, 144, 288, 576])
  func rows(granularity: Int) throws {
    let model = try Self.model()
    let conversation = try Conversation(message: "What is it?", hasImage: true)
    // Shapes that fill their tiles, so that no cell is cut: two tiles, a tile by two, three by one, two by two.
    for (width, height) in [(384, 192), (96, 192), (300, 100), (250, 250)] {
      let features = try model.encode(Self.picture(width, height))
      let prompt = try model.prepare(conversation, image: features, granularity: .uniform(granularity))
      let grid = try #require(try model.tokenGrid(of: features, granularity: .uniform(granularity)))
      let area = try #require(grid.areas.first)
      #expect(grid.areas.count == 1)
      let text = prompt.inputIDs.count - 1
      let cells = (area.columns.count + 1, area.rows.count + 1)
      // A newline ends every row of cells; the tile that shows the whole picture comes first.
      #expect(prompt.sequenceLength - text == granularity + (cells.0 + 1) * cells.1, "\(width)×\(height): \(cells)")
      #expect(grid.tileColumns.allSatisfy(area.columns.contains) && grid.tileRows.allSatisfy(area.rows.contains))
      #expect((grid.tileColumns.count + 1) * (grid.tileRows.count + 1) == features.tileCount - 1)
    }
  }

  @Test("lines lie where windows of patches begin, in pixels of the picture")
  func lines() throws {
    let model = try Self.model()
    // On 2 × 2 tiles of 96, a square of 384 is halved; 36 tokens a tile are 6 × 6 windows of 16 pixels, 32 of the
    // picture's.
    let square = try #require(
      try model.tokenGrid(of: model.encode(Self.picture(384, 384)), granularity: .uniform(36)))
    #expect(
      square.areas[0].columns == (1..<12).map { Double($0) * 32 } && square.areas[0].rows == square.areas[0].columns)
    #expect(square.tileColumns == [192] && square.tileRows == [192])
    #expect(square.areas[0].across == 0...384 && square.areas[0].down == 0...384)
    // 360 × 180 on 192 × 96 is scaled by 8/15 in both directions: 144 tokens are windows of 2 × 2 patches.
    let wide = try #require(try model.tokenGrid(of: model.encode(Self.picture(360, 180)), granularity: .uniform(144)))
    #expect(wide.width == 360 && wide.height == 180)
    for lines in [wide.areas[0].columns, wide.areas[0].rows] {
      #expect(zip(lines, (1..<24).map { Double($0) * 15 }).allSatisfy { abs($0 - $1) < 1e-9 })
    }
    #expect(
      wide.areas[0].columns.count == 23 && wide.areas[0].rows.count == 11 && wide.tileColumns == [180]
        && wide.tileRows == [])
    #expect(try model.tokenGrid(of: model.encode(Self.picture(50, 50)), granularity: .uniform(37)) == nil)
  }

  @Test("cells that are not square leave out what upstream takes for padding")
  func unseen() throws {
    let model = try Self.model()
    // 72 tokens of a tile are 6 × 12 cells of 4 × 2 patches; of 12 × 24 cells, a square's middle 12 × 12 are kept.
    let square = try #require(try model.tokenGrid(of: model.encode(Self.picture(384, 384)), granularity: .uniform(72)))
    #expect(square.areas[0].across == 0...384 && square.areas[0].down == 96...288)
    #expect(square.areas[0].columns.count == 11 && square.areas[0].rows.count == 11)
    // Padding itself: 192 × 64 lies in the middle of 192 × 96, whose 24 rows of 144 tokens' cells are 4 pixels high.
    let long = try #require(try model.tokenGrid(of: model.encode(Self.picture(192, 64)), granularity: .uniform(144)))
    #expect(long.areas[0].down == 0...64 && long.areas[0].across == 0...192)
  }
}

@Suite("Unpadding by the cells' shape") struct CorrectedUnpaddingTests {
  private static func model(corrects: Bool) throws -> VisionLanguageModel {
    let options = SourceOptions(configuration: ConfigurationOptions(correctsUnpadding: corrects ? true : nil))
    return try Source.open(path: Fixtures.conformanceCheckpoint, options: options)
      .model(compute: Compute(pool: ThreadPool(threads: 2)))
  }

  private static func picture(_ width: Int, _ height: Int) throws -> RGBImage {
    try RGBImage(width: width, height: height, pixels: [UInt8](repeating: 90, count: width * height * 3))
  }

  @Test("all of the picture is kept at every granularity, within a cell; upstream keeps all where cells are squares")
  func whole() throws {
    let (corrected, upstream) = (try Self.model(corrects: true), try Self.model(corrects: false))
    for (width, height) in [(384, 192), (96, 192), (300, 100), (250, 250), (500, 300), (100, 230)] {
      for granularity in [36, 72, 144, 288, 576] {
        let features = try corrected.encode(Self.picture(width, height))
        func area(_ model: VisionLanguageModel) throws -> TokenGrid.Area {
          let grid = try #require(try model.tokenGrid(of: features, granularity: .uniform(granularity)))
          return try #require(grid.areas.first)
        }
        let (own, theirs) = (try area(corrected), try area(upstream))
        let shown = [
          own.across.lowerBound, Double(width) - own.across.upperBound, own.down.lowerBound,
          Double(height) - own.down.upperBound,
        ]
        // A cell of the coarsest grid is a sixth of a tile.
        #expect(
          shown.allSatisfy { $0 <= Double(max(width, height)) / 6 }, "\(granularity), \(width)×\(height): \(shown)")
        if [36, 144, 576].contains(granularity) { #expect(own == theirs) } else { #expect(own.cells >= theirs.cells) }
      }
    }
    // Twice as wide as high on tiles of the same shape: upstream takes half of the columns of cells that are no squares.
    let features = try upstream.encode(Self.picture(384, 192))
    let half = try #require(try upstream.tokenGrid(of: features, granularity: .uniform(288))).areas[0]
    #expect(half.down.upperBound - half.down.lowerBound <= 96)
    let all = try #require(try corrected.tokenGrid(of: features, granularity: .uniform(288))).areas[0]
    #expect(all.down == 0...192 && all.across == 0...384)
  }

  @Test("what a prompt may become is what it becomes")
  func extents() throws {
    let model = try Self.model(corrects: true)
    let conversation = try Conversation(message: "What is it?", hasImage: true)
    let features = try model.encode(Self.picture(384, 192))
    let extent = try model.extent(of: conversation, tiles: [model.tiles(of: Self.picture(384, 192))])
    for granularity in model.configuration.granularities {
      let prompt = try model.prepare(conversation, image: features, granularity: .uniform(granularity))
      #expect(extent.rows(granularity: granularity) == prompt.sequenceLength)
    }
  }
}
