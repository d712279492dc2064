internal import CGristPictures
import GristCore

private let format = PictureFormat(name: "PNG", library: "libpng", plainKind: "an RGB PNG of 8 bits a sample")

/// zlib makes no more than this many bytes of one.
private let greatestDeflation = 1032

func decodePNG(_ bytes: Bytes) throws -> RGBImage {
  var header = grist_png_header()
  var failure = grist_picture_failure()
  let isRead = bytes.withUnsafeBytes { grist_png_read_header($0.baseAddress, $0.count, &header, &failure) }
  guard isRead else { throw format.error(failure, fileSize: bytes.count) }
  let (width, height) = (Int(header.width), Int(header.height))
  let pixelCount = try RGBImage.checkedPixelCount(width: width, height: height)
  // Before memory is taken for an image whose file can only turn out to be cut short.
  guard pixelCount / 8 * Int(header.pixel_bits) <= bytes.count * greatestDeflation else {
    throw GristError(
      .badData, "the PNG claims more pixels than its bytes can hold",
      found: "\(width)×\(height) in \(bytes.count) bytes",
      advice: "fetch the file again")
  }
  let pixels = try [UInt8](unsafeUninitializedCapacity: pixelCount * 3) { pixels, initializedCount in
    var palette = [UInt8](repeating: 0, count: 768)
    let isDecoded = bytes.withUnsafeBytes {
      grist_png_decode($0.baseAddress, $0.count, &header, pixels.baseAddress, &palette, &failure)
    }
    guard isDecoded else { throw format.error(failure, fileSize: bytes.count) }
    initializedCount = pixelCount * 3
    guard let colors = colorTable(header, palette) else { return }
    spread(pixels, pixelCount: pixelCount, colors: colors, isWide: header.pixel_bytes == 2)
  }
  return RGBImage(uncheckedWidth: width, height: height, pixels: pixels)
}

/// The 256 colors that samples of one byte stand for; nil where the samples are colors already.
///
/// Grey is scaled to 0…255 as Pillow's unpackers of "L;2" and "L;4" do, which is exact: 255 is a multiple of 1, 3 and 15.
private func colorTable(_ header: grist_png_header, _ palette: [UInt8]) -> [UInt8]? {
  switch header.samples {
  case GRIST_PNG_RGB: nil
  case GRIST_PNG_PALETTE: palette
  default:
    (0..<256).flatMap { value in
      let grey = header.depth < 8 ? value * 255 / ((1 << Int(header.depth)) - 1) : value
      return Array(repeating: UInt8(min(grey, 255)), count: 3)
    }
  }
}

/// Replaces samples at the start of `pixels`, one byte each or two where they are wide, by three bytes of color each.
///
/// From the last to the first: what is written never lies before what is still to be read.
private func spread(
  _ pixels: UnsafeMutableBufferPointer<UInt8>, pixelCount: Int, colors: [UInt8], isWide: Bool
) {
  precondition(pixels.count >= pixelCount * 3 && colors.count == 768)
  for pixel in stride(from: pixelCount - 1, through: 0, by: -1) {
    // Pillow cuts grey of 16 bits off at 255 rather than scaling it.
    let sample = isWide ? (pixels[2 * pixel] == 0 ? pixels[2 * pixel + 1] : 255) : pixels[pixel]
    for channel in 0..<3 { pixels[3 * pixel + channel] = colors[3 * Int(sample) + channel] }
  }
}
