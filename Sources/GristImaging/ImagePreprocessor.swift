import GristCore

/// Makes an image into the tiles a LLaVA vision tower takes, as upstream's `process_images` does with CLIP's image
/// processor: same resampling, same rounding, same order of operations.
public struct ImagePreprocessor: Sendable {
  /// Pixels along a tile's edge: CLIP's `image_size`.
  public let tileSize: Int
  /// Mean of each channel (red, green, blue), of values from 0 to 1.
  public let mean: [Double]
  /// Standard deviation of each channel, of values from 0 to 1.
  public let standardDeviation: [Double]
  public let aspectRatio: AspectRatioMode
  /// What a byte is multiplied by before it is normalized.
  public let rescaleFactor: Double
  /// For each channel, the normalized value of each byte.
  private let normalizedValues: [[Float]]

  /// - Throws: 65 when a value makes no sense: a tile size below 1 or that gives too many pixels, other than three
  ///   finite means and deviations, a deviation or factor that is not positive, no pinpoints or one that is not made of
  ///   whole tiles, a shortest edge below the tile size.
  public init(
    tileSize: Int, mean: [Double], standardDeviation: [Double], aspectRatio: AspectRatioMode,
    rescaleFactor: Double = 1.0 / 255
  ) throws {
    _ = try locatingSetting("tile size") { try RGBImage.checkedPixelCount(width: tileSize, height: tileSize) }
    guard mean.count == 3, mean.allSatisfy({ $0 >= 0 && $0 <= 1 }) else {
      throw GristError(.badData, "the image mean must be three numbers from 0 to 1", found: "\(mean)")
    }
    guard standardDeviation.count == 3, standardDeviation.allSatisfy({ $0.isFinite && Float($0) > 0 }) else {
      throw GristError(
        .badData, "the image standard deviation must be three positive numbers", found: "\(standardDeviation)")
    }
    guard rescaleFactor.isFinite, rescaleFactor > 0 else {
      throw GristError(.badData, "the image rescale factor must be a positive number", found: "\(rescaleFactor)")
    }
    try aspectRatio.check(tileSize: tileSize)
    self.tileSize = tileSize
    self.mean = mean
    self.standardDeviation = standardDeviation
    self.aspectRatio = aspectRatio
    self.rescaleFactor = rescaleFactor
    normalizedValues = zip(mean, standardDeviation).map { mean, deviation in
      (0...255).map { (Float(Double($0) * rescaleFactor) - Float(mean)) / Float(deviation) }
    }
  }

  /// Makes the tiles of one image.
  ///
  /// - Throws: 65 when the image is so long and thin that a step of the way would have more than
  ///   ``RGBImage/maximumPixelCount`` pixels.
  public func preprocess(_ image: RGBImage) throws -> ImageTiles {
    switch aspectRatio {
    case .anyres(let gridPinpoints): try anyResolutionTiles(image, gridPinpoints)
    case .pad: try paddedTile(image)
    case .crop(let shortestEdge): try croppedTile(image, shortestEdge: shortestEdge)
    case .stretch: try stretchedTile(image)
    }
  }

  /// A tile's values as the tower takes them, [channel, row, column]: the byte times the rescale factor in double
  /// precision, rounded to single, less the mean and divided by the deviation in single precision — Transformers'
  /// `rescale` and `normalize`. `tile` must hold `tileSize * tileSize * 3` bytes.
  ///
  /// - Precondition: The tile has `tileSize · tileSize · 3` bytes.
  public func normalized(_ tile: [UInt8]) -> [Float] {
    let area = tileSize * tileSize
    precondition(tile.count == area * 3, "a tile has tileSize * tileSize * 3 bytes")
    return [Float](unsafeUninitializedCapacity: tile.count) { output, initializedCount in
      for channel in 0..<3 {
        let values = normalizedValues[channel]
        for pixel in 0..<area {
          output[channel * area + pixel] = values[Int(tile[pixel * 3 + channel])]
        }
      }
      initializedCount = tile.count
    }
  }

  private func anyResolutionTiles(
    _ image: RGBImage, _ gridPinpoints: [(width: Int, height: Int)]
  ) throws -> ImageTiles {
    guard
      let layout = AnyResolutionLayout(
        imageWidth: image.width, imageHeight: image.height, gridPinpoints: gridPinpoints)
    else { throw noPinpoints() }
    let canvas = try image.resized(toWidth: layout.scaledWidth, height: layout.scaledHeight)
      .placed(
        onWidth: layout.canvasWidth, height: layout.canvasHeight, x: layout.x, y: layout.y, color: [0, 0, 0])
    var tiles = [try image.resized(toWidth: tileSize, height: tileSize).pixels]
    for y in stride(from: 0, to: canvas.height, by: tileSize) {
      for x in stride(from: 0, to: canvas.width, by: tileSize) {
        tiles.append(canvas.square(side: tileSize, x: x, y: y))
      }
    }
    return ImageTiles(
      imageWidth: image.width, imageHeight: image.height, tileSize: tileSize,
      gridColumns: canvas.width / tileSize, gridRows: canvas.height / tileSize,
      place: .init(
        x: Double(layout.x), y: Double(layout.y), width: Double(layout.scaledWidth),
        height: Double(layout.scaledHeight)),
      tiles: tiles)
  }

  private func paddedTile(_ image: RGBImage) throws -> ImageTiles {
    let side = max(image.width, image.height)
    _ = try RGBImage.checkedPixelCount(width: side, height: side)
    let square = image.placed(
      onWidth: side, height: side, x: (side - image.width) / 2, y: (side - image.height) / 2,
      color: mean.map { UInt8($0 * 255) })
    let scale = Double(tileSize) / Double(side)
    let place = ImageTiles.Place(
      x: Double((side - image.width) / 2) * scale, y: Double((side - image.height) / 2) * scale,
      width: Double(image.width) * scale, height: Double(image.height) * scale)
    return singleTile(image, place, try square.resized(toWidth: tileSize, height: tileSize).pixels)
  }

  private func croppedTile(_ image: RGBImage, shortestEdge: Int) throws -> ImageTiles {
    // Python divides integers of any size exactly rounded; these products stay below 2^53, so this does as well.
    let longEdge = Int(
      Double(shortestEdge * max(image.width, image.height)) / Double(min(image.width, image.height)))
    let isWide = image.width > image.height
    let scaled = try image.resized(
      toWidth: isWide ? longEdge : shortestEdge, height: isWide ? shortestEdge : longEdge)
    let (x, y) = ((scaled.width - tileSize) / 2, (scaled.height - tileSize) / 2)
    let place = ImageTiles.Place(
      x: -Double(x), y: -Double(y), width: Double(scaled.width), height: Double(scaled.height))
    return singleTile(image, place, scaled.square(side: tileSize, x: x, y: y))
  }

  private func stretchedTile(_ image: RGBImage) throws -> ImageTiles {
    let place = ImageTiles.Place(x: 0, y: 0, width: Double(tileSize), height: Double(tileSize))
    return singleTile(image, place, try image.resized(toWidth: tileSize, height: tileSize).pixels)
  }

  private func singleTile(_ image: RGBImage, _ place: ImageTiles.Place, _ tile: [UInt8]) -> ImageTiles {
    ImageTiles(
      imageWidth: image.width, imageHeight: image.height, tileSize: tileSize, gridColumns: 0, gridRows: 0,
      place: place, tiles: [tile])
  }
}

extension AspectRatioMode {
  fileprivate func check(tileSize: Int) throws {
    switch self {
    case .pad, .stretch: break
    case .crop(let shortestEdge):
      _ = try locatingSetting("shortest edge") {
        try RGBImage.checkedPixelCount(width: shortestEdge, height: shortestEdge)
      }
      guard shortestEdge >= tileSize else {
        throw GristError(
          .badData, "the shortest edge must not be smaller than the tile size, \(tileSize)", found: "\(shortestEdge)")
      }
    case .anyres(let gridPinpoints):
      guard !gridPinpoints.isEmpty else { throw noPinpoints() }
      guard gridPinpoints.count <= 1024 else {
        throw GristError(.badData, "more grid pinpoints than a model can have use for", found: "\(gridPinpoints.count)")
      }
      for (width, height) in gridPinpoints {
        _ = try locatingSetting("grid pinpoint") { try RGBImage.checkedPixelCount(width: width, height: height) }
        guard width % tileSize == 0, height % tileSize == 0 else {
          throw GristError(
            .badData, "every grid pinpoint must be made of whole tiles of \(tileSize) pixels",
            found: "[\(width), \(height)]")
        }
        let tiles = (width / tileSize) * (height / tileSize)
        guard tiles <= greatestTileCount else {
          throw GristError(
            .badData, "a grid pinpoint of more than \(greatestTileCount) tiles",
            found: "[\(width), \(height)], \(tiles) tiles")
        }
      }
    }
  }
}

/// Tiles of a grid at most: the largest of any published model has 36.
private let greatestTileCount = 64

private func noPinpoints() -> GristError {
  GristError(.badData, "there must be at least one grid pinpoint", found: "none")
}

/// Puts the name of a setting before the message of an error about extents.
private func locatingSetting<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch var error as GristError {
    error.what = "\(name): \(error.what)"
    throw error
  }
}
