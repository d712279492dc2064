internal import CGristJPEG
import GristCore

extension RGBImage {
  /// Decodes a JPEG file to what Pillow's `Image.open(path).convert("RGB")` gives.
  ///
  /// Grey is replicated; CMYK and YCCK are taken as inverted, as Adobe writes them, whether or not the file says so; an
  /// EXIF orientation is not applied. In a file that holds several images the first is decoded.
  ///
  /// - Throws: 66 when the file is not there, 74 when it cannot be read, and 65 when it is not a JPEG, is damaged or
  ///   cut short anywhere (Pillow would fill some kinds of damage with grey), has more than ``maximumPixelCount``
  ///   pixels, or is of a kind that libjpeg does not decode (12 bits a sample, lossless).
  public init(jpegFile path: String) throws {
    try self.init(jpeg: MappedFile(path: path).bytes, name: path)
  }

  /// Decodes a JPEG held in memory, as ``init(jpegFile:)`` does; `name` stands for the file in errors.
  ///
  /// - Throws: 65 when the bytes are no JPEG that can be decoded whole.
  public init(jpeg bytes: Bytes, name: String) throws {
    self = try locating(file: name) {
      let format = ImageFormat(of: bytes)
      guard format == .jpeg else {
        let contents = FileContents(of: bytes)
        throw GristError(
          .badData, "not a JPEG image", found: format?.description ?? contents?.name ?? startDescription(of: bytes),
          advice: contents?.advice ?? (format == nil ? "name a picture" : "convert it to JPEG first"))
      }
      let header = try readHeader(bytes)
      let width = Int(header.width)
      let height = Int(header.height)
      let pixelCount = try Self.checkedPixelCount(width: width, height: height)
      guard pixelCount <= max(boundlessPixels, bytes.count * pixelsOfByte) else {
        throw GristError(
          .badData, "the JPEG claims more pixels than its bytes can tell apart",
          found: "\(width)×\(height) in \(bytes.count) bytes",
          advice: "scale the image down first")
      }
      guard [1, 3, 4].contains(header.components) else {
        throw GristError(
          .badData, "a JPEG must have 1, 3 or 4 components", found: "\(header.components)",
          advice: "convert it to an RGB JPEG first")
      }
      return RGBImage(
        uncheckedWidth: width, height: height, pixels: try decode(bytes, header, pixelCount: pixelCount))
    }
  }
}

/// An image of more pixels than this has no more than ``pixelsOfByte`` for each byte of its file: an empty one has 40
/// to 60.
private let boundlessPixels = 32 << 20
private let pixelsOfByte = 64

private func readHeader(_ bytes: Bytes) throws -> grist_jpeg_header {
  var header = grist_jpeg_header()
  var failure = grist_jpeg_failure()
  let done = bytes.withUnsafeBytes { grist_jpeg_read_header($0.baseAddress, $0.count, &header, &failure) }
  guard done else { throw error(failure, fileSize: bytes.count) }
  return header
}

private func decode(_ bytes: Bytes, _ header: grist_jpeg_header, pixelCount: Int) throws -> [UInt8] {
  let isCMYK = header.components == 4
  let capacity = pixelCount * (isCMYK ? 4 : 3)
  return try [UInt8](unsafeUninitializedCapacity: capacity) { pixels, initializedCount in
    var failure = grist_jpeg_failure()
    let done = bytes.withUnsafeBytes { source in
      withUnsafePointer(to: header) {
        grist_jpeg_decode(source.baseAddress, source.count, $0, pixels.baseAddress, &failure)
      }
    }
    guard done else { throw error(failure, fileSize: bytes.count) }
    if isCMYK { convertInvertedCMYKToRGB(pixels, pixelCount: pixelCount) }
    initializedCount = pixelCount * 3
  }
}

private func error(_ failure: grist_jpeg_failure, fileSize: Int) -> GristError {
  let message = withUnsafeBytes(of: failure.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  let offset = UInt64(failure.offset)
  switch failure.kind {
  case GRIST_JPEG_TRUNCATED:
    return GristError(
      .badData, "the JPEG is cut short", found: "\(fileSize) bytes (libjpeg: \(message))",
      advice: "fetch the file again")
  case GRIST_JPEG_UNSUPPORTED:
    return GristError(
      .badData, "this kind of JPEG is not supported", offset: offset, found: "libjpeg: \(message)",
      advice: "convert it to a baseline JPEG of 8 bits a sample first")
  case GRIST_JPEG_OUT_OF_MEMORY:
    return GristError(
      .badData, "decoding the JPEG needs more memory than there is", found: "libjpeg: \(message)",
      advice: "scale the image down first")
  default:
    return GristError(
      .badData, "the JPEG is damaged", offset: offset, found: "libjpeg: \(message)",
      advice: "fetch the file again, or save it anew in an image editor if it looks right there")
  }
}
