import GristCore

/// An 8-bit RGB image.
public struct RGBImage: Sendable, Equatable {
  /// Pixels from left to right, at least 1.
  public let width: Int
  /// Pixels from top to bottom, at least 1.
  public let height: Int
  /// Row by row from the top, three bytes (red, green, blue) a pixel, no gaps: `width * height * 3` bytes.
  public let pixels: [UInt8]

  /// The most pixels an image may have: what Pillow's `Image.open` takes before it suspects a decompression bomb.
  public static let maximumPixelCount = 178_956_970

  /// - Throws: 65 when an extent is not positive, when there are more than ``maximumPixelCount`` pixels, or when
  ///   `pixels` does not hold exactly `width * height * 3` bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) throws {
    let pixelCount = try Self.checkedPixelCount(width: width, height: height)
    guard pixels.count == pixelCount * 3 else {
      throw GristError(
        .badData, "an RGB image of \(width)×\(height) pixels has \(pixelCount * 3) bytes",
        found: "\(pixels.count) bytes")
    }
    self.init(uncheckedWidth: width, height: height, pixels: pixels)
  }

  /// For results whose extents were checked before they were computed.
  init(uncheckedWidth width: Int, height: Int, pixels: [UInt8]) {
    assert(pixels.count == width * height * 3)
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// `width * height`; throws 65 when there is no image of these extents.
  static func checkedPixelCount(width: Int, height: Int) throws -> Int {
    guard width > 0, height > 0 else {
      throw GristError(.badData, "an image needs at least one pixel each way", found: "\(width)×\(height) pixels")
    }
    let (count, overflow) = width.multipliedReportingOverflow(by: height)
    guard !overflow, count <= maximumPixelCount else {
      throw GristError(
        .badData, "the image has more than the \(maximumPixelCount) pixels allowed",
        found: "\(width)×\(height) pixels", advice: "scale or crop it first")
    }
    return count
  }
}
