internal import CGristPictures
import GristCore

private let format = PictureFormat(name: "WebP", library: "libwebp", plainKind: "a PNG")

func decodeWebP(_ bytes: Bytes) throws -> RGBImage {
  var header = grist_webp_header()
  var failure = grist_picture_failure()
  let isRead = bytes.withUnsafeBytes { grist_webp_read_header($0.baseAddress, $0.count, &header, &failure) }
  guard isRead else { throw format.error(failure, fileSize: bytes.count) }
  let pixelCount = try RGBImage.checkedPixelCount(
    width: header.width, height: header.height, in: bytes, format: format.name)
  let pixels = try [UInt8](unsafeUninitializedCapacity: pixelCount * 3) { pixels, initializedCount in
    let isDecoded = bytes.withUnsafeBytes {
      grist_webp_decode($0.baseAddress, $0.count, &header, pixels.baseAddress, &failure)
    }
    guard isDecoded else { throw format.error(failure, fileSize: bytes.count) }
    initializedCount = pixelCount * 3
  }
  return RGBImage(uncheckedWidth: Int(header.width), height: Int(header.height), pixels: pixels)
}
