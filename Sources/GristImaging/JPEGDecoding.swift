internal import CGristPictures
import GristCore

private let format = PictureFormat(
  name: "JPEG", library: "libjpeg", plainKind: "a baseline JPEG of 8 bits a sample")

func decodeJPEG(_ bytes: Bytes) throws -> RGBImage {
  let header = try readHeader(bytes)
  let pixelCount = try RGBImage.checkedPixelCount(
    width: header.width, height: header.height, in: bytes, format: format.name)
  guard [1, 3, 4].contains(header.components) else {
    throw GristError(
      .badData, "a JPEG must have 1, 3 or 4 components", found: "\(header.components)",
      advice: "convert it to an RGB JPEG first")
  }
  return RGBImage(
    uncheckedWidth: Int(header.width), height: Int(header.height),
    pixels: try decode(bytes, header, pixelCount: pixelCount))
}

private func readHeader(_ bytes: Bytes) throws -> grist_jpeg_header {
  var header = grist_jpeg_header()
  var failure = grist_picture_failure()
  let done = bytes.withUnsafeBytes { grist_jpeg_read_header($0.baseAddress, $0.count, &header, &failure) }
  guard done else { throw format.error(failure, fileSize: bytes.count) }
  return header
}

private func decode(_ bytes: Bytes, _ header: grist_jpeg_header, pixelCount: Int) throws -> [UInt8] {
  let isCMYK = header.components == 4
  let capacity = pixelCount * (isCMYK ? 4 : 3)
  return try [UInt8](unsafeUninitializedCapacity: capacity) { pixels, initializedCount in
    var failure = grist_picture_failure()
    let done = bytes.withUnsafeBytes { source in
      withUnsafePointer(to: header) {
        grist_jpeg_decode(source.baseAddress, source.count, $0, pixels.baseAddress, &failure)
      }
    }
    guard done else { throw format.error(failure, fileSize: bytes.count) }
    if isCMYK { convertInvertedCMYKToRGB(pixels, pixelCount: pixelCount) }
    initializedCount = pixelCount * 3
  }
}
