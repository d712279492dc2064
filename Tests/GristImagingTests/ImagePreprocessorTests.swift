import GristCore
import GristImaging
import Testing

@Suite("Image to tiles, as upstream does it")
struct ImagePreprocessorTests {
  private func preprocessor(_ aspectRatio: AspectRatioMode, tileSize: Int) throws -> ImagePreprocessor {
    try ImagePreprocessor(
      tileSize: tileSize, mean: clipMean, standardDeviation: clipStandardDeviation, aspectRatio: aspectRatio)
  }

  private func mode(_ name: String, tileSize: Int) -> AspectRatioMode {
    switch name {
    case "anyres": .anyres(gridPinpoints: canvases(side: tileSize))
    case "pad": .pad
    default: .crop(shortestEdge: tileSize)
    }
  }

  @Test("every tile of every sample", arguments: ["anyres", "pad", "crop"], [96, 336])
  func tiles(modeName: String, tileSize: Int) throws {
    let preprocessor = try preprocessor(mode(modeName, tileSize: tileSize), tileSize: tileSize)
    let samples = try decodableSamples()
    #expect(samples.count >= 34)
    for sample in samples {
      let image = try RGBImage(file: sample.path)
      let tiles = try preprocessor.preprocess(image)
      let expected = try sample.expected.object(modeName).strings("\(tileSize)")
      #expect(tiles.tiles.map(sha256) == expected, "\(sample.name)")
      #expect(tiles.imageWidth == image.width && tiles.imageHeight == image.height)
      #expect(tiles.tileSize == tileSize)
      let canvas = try sample.expected.object("canvas").integers("\(tileSize)", in: 1...100_000)
      let grid = modeName == "anyres" ? canvas.map { $0 / tileSize } : [0, 0]
      #expect([tiles.gridColumns, tiles.gridRows] == grid, "\(sample.name)")
    }
  }

  @Test("tiles and sums of normalized pixels of the conformance kit")
  func conformance() throws {
    let folder = joinPath(conformanceFolder, "small-f32")
    let pinpoints = try JSONReader(path: joinPath(folder, "config.json")).array("image_grid_pinpoints").map {
      let extents = try #require($0.array).compactMap(\.integer)
      return (width: extents[0], height: extents[1])
    }
    #expect(pinpoints.count == 5)
    let preprocessor = try preprocessor(.anyres(gridPinpoints: pinpoints), tileSize: 96)
    let path = joinPath(folder, "expected.json")
    let cases = try #require(try JSONValue.parse(readFile(path)).array)
    #expect(cases.count == 7)
    for value in cases {
      let expected = try JSONReader(value, file: path)
      let image = try RGBImage(file: joinPath(photographsFolder, expected.string("image")))
      let tiles = try preprocessor.preprocess(image)
      #expect(try tiles.tiles.count == expected.integer("tiles", in: 1...100))
      let sum = tiles.tiles.reduce(0.0) { preprocessor.normalized($1).reduce($0) { $0 + Double($1) } }
      // Upstream's float32 values exactly, or nearly a hundredth would be missing; only the order of the sum is free.
      #expect(try abs(sum - expected.double("pixel_sum")) < 1e-6)
    }
  }

  @Test("normalized values are planar and rounded to single precision after the rescaling")
  func normalized() throws {
    let preprocessor = try preprocessor(.pad, tileSize: 2)
    let values = preprocessor.normalized([0, 1, 2, 3, 4, 5, 128, 129, 130, 255, 255, 255])
    #expect(
      values == [
        -1.7922626, -1.7484672, 0.076336145, 1.9303361, -1.7370893, -1.6920661, 0.18390508, 2.0748837, -1.4517797,
        -1.4091195, 0.36838892, 2.145897,
      ])
  }

  @Test("cropping cuts the centre, the odd pixel from the far side")
  func crop() throws {
    let tall = try RGBImage(width: 6, height: 9, pixels: noise(6 * 9 * 3))
    let tile = try preprocessor(.crop(shortestEdge: 6), tileSize: 4).preprocess(tall).tiles[0]
    var expected: [UInt8] = []
    for row in 2..<6 {
      let start = (row * 6 + 1) * 3
      expected += tall.pixels[start..<start + 4 * 3]
    }
    #expect(tile == expected)
  }

  @Test("padding is of the mean colour, cut to whole numbers")
  func pad() throws {
    let wide = try RGBImage(width: 4, height: 1, pixels: noise(12))
    let tile = try preprocessor(.pad, tileSize: 4).preprocess(wide).tiles[0]
    let margin = [UInt8]((0..<4).flatMap { _ in [122, 116, 104] as [UInt8] })
    #expect(tile == margin + wide.pixels + margin + margin)
  }

  @Test("equal canvases: the first wins; a slim image still has a pixel each way")
  func extremes() throws {
    let anyres = try preprocessor(.anyres(gridPinpoints: [(8, 8), (16, 8), (8, 8)]), tileSize: 8)
    let slim = try RGBImage(width: 1, height: 5000, pixels: noise(15_000))
    let tiles = try anyres.preprocess(slim)
    #expect(tiles.gridColumns == 1 && tiles.gridRows == 1 && tiles.tiles.count == 2)
    let flat = try RGBImage(width: 60_000, height: 1, pixels: noise(180_000))
    #expect(try anyres.preprocess(flat).tiles.count == 2)

    let crop = try preprocessor(.crop(shortestEdge: 336), tileSize: 336)
    #expect(gristError { _ = try crop.preprocess(flat) }?.found == "20160000×336 pixels")
    let pad = try preprocessor(.pad, tileSize: 336)
    #expect(gristError { _ = try pad.preprocess(flat) }?.found == "60000×60000 pixels")
  }

  @Test("settings that make no sense are refused")
  func badSettings() {
    func refused(
      tileSize: Int = 96, mean: [Double] = clipMean, deviation: [Double] = clipStandardDeviation,
      _ aspectRatio: AspectRatioMode = .pad, factor: Double = 1.0 / 255
    ) -> GristError.Code? {
      gristError {
        _ = try ImagePreprocessor(
          tileSize: tileSize, mean: mean, standardDeviation: deviation, aspectRatio: aspectRatio,
          rescaleFactor: factor)
      }?.code
    }
    #expect(refused() == nil)
    #expect(refused(tileSize: 0) == .badData)
    #expect(refused(tileSize: 100_000) == .badData)
    #expect(refused(mean: [0.5, 0.5]) == .badData)
    #expect(refused(mean: [0.5, 0.5, .nan]) == .badData)
    #expect(refused(mean: [0.5, 0.5, 1.5]) == .badData)
    #expect(refused(deviation: [0.5, 0.5, 0]) == .badData)
    #expect(refused(deviation: [0.5, 0.5, .infinity]) == .badData)
    #expect(refused(factor: 0) == .badData)
    #expect(refused(.anyres(gridPinpoints: [])) == .badData)
    #expect(refused(.anyres(gridPinpoints: [(96, 100)])) == .badData)
    #expect(refused(.anyres(gridPinpoints: [(0, 96)])) == .badData)
    #expect(refused(.crop(shortestEdge: 95)) == .badData)
    #expect(refused(.crop(shortestEdge: 96)) == nil)
  }

  @Test("19.20: a grid of more tiles than any model has is refused", arguments: [(65, 1), (9, 8)])
  func hugeGrids(columns: Int, rows: Int) {
    let error = #expect(throws: GristError.self) {
      try preprocessor(.anyres(gridPinpoints: [(width: columns * 96, height: rows * 96)]), tileSize: 96)
    }
    #expect(error?.code == .badData && error?.what.contains("more than 64 tiles") == true)
    #expect(throws: Never.self) {
      try preprocessor(.anyres(gridPinpoints: [(width: 8 * 96, height: 8 * 96)]), tileSize: 96)
    }
  }
}
