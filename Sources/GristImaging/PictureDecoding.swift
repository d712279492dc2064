internal import CGristPictures
import GristCore

extension RGBImage {
  /// Decodes a JPEG, PNG or WebP file to what Pillow's `Image.open(path).convert("RGB")` gives.
  ///
  /// Of a JPEG, grey is replicated, and CMYK and YCCK are taken as inverted, as Adobe writes them, whether or not the
  /// file says so. Of a PNG, grey of 16 bits is cut off at 255 (Pillow's mode "I;16"), other samples of 16 bits keep
  /// their high byte, and indices without a color are black. Transparency is left out, of WebP too, and so are gamma and
  /// color profiles. An EXIF orientation is not applied, see ``upright(from:)``. In a file that holds several images or
  /// an animation, the first is decoded.
  ///
  /// - Throws: 66 when the file is not there, 74 when it cannot be read, and 65 when it is another kind of file, is
  ///   damaged or cut short anywhere (Pillow would fill some kinds of damage with grey, and overlooks some checksums),
  ///   has more than ``maximumPixelCount`` pixels, or is of a kind that the format's library does not decode (a JPEG of
  ///   12 bits a sample, or a lossless one).
  public init(file path: String) throws {
    try self.init(encoded: MappedFile(path: path).bytes, name: path)
  }

  /// Decodes a picture held in memory, as ``init(file:)`` does.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - name: stands for the file in errors.
  ///
  /// - Throws: 65 when the bytes are no picture that can be decoded whole.
  public init(encoded bytes: Bytes, name: String) throws {
    self = try locating(file: name) {
      switch ImageFormat(of: bytes) {
      case .jpeg: try decodeJPEG(bytes)
      case .png: try decodePNG(bytes)
      case .webp: try decodeWebP(bytes)
      case let other: throw notDecoded(other, bytes)
      }
    }
  }
}

extension RGBImage {
  /// What HTTP calls a picture's file: `image/jpeg`, `image/png` or `image/webp`; `application/octet-stream` for other
  /// bytes.
  public static func mediaType(of bytes: Bytes) -> String {
    ImageFormat(of: bytes)?.mediaType ?? "application/octet-stream"
  }
}

private func notDecoded(_ format: ImageFormat?, _ bytes: Bytes) -> GristError {
  let contents = FileContents(of: bytes)
  return GristError(
    .badData, "not a JPEG, PNG or WebP image",
    found: format?.description ?? contents?.name ?? startDescription(of: bytes),
    advice: contents?.advice ?? (format == nil ? "name a picture" : "convert it to JPEG, PNG or WebP first"))
}

extension RGBImage {
  /// Pixels of an image whose file claims `width` × `height`.
  ///
  /// - Throws: 65 when there is no image of these extents, and when the file is too small to tell so many pixels apart.
  static func checkedPixelCount(
    width: UInt32, height: UInt32, in bytes: Bytes, format: String
  ) throws -> Int {
    let count = try checkedPixelCount(width: Int(width), height: Int(height))
    guard count <= max(boundlessPixels, bytes.count * pixelsOfByte) else {
      throw GristError(
        .badData, "the \(format) claims more pixels than its bytes can tell apart",
        found: "\(width)×\(height) in \(bytes.count) bytes", advice: "scale the image down first")
    }
    return count
  }
}

/// An image of more pixels than this has no more than ``pixelsOfByte`` for each byte of its file: an empty JPEG has 40
/// to 60.
private let boundlessPixels = 32 << 20
private let pixelsOfByte = 64

/// What a decoder of one format calls its failures.
struct PictureFormat {
  /// As in "the JPEG is damaged".
  let name: String
  /// Whose sentence is quoted.
  let library: String
  /// What to convert a file to that the library does not decode.
  let plainKind: String

  func error(_ failure: grist_picture_failure, fileSize: Int) -> GristError {
    let message = withUnsafeBytes(of: failure.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let offset = UInt64(failure.offset)
    return switch failure.kind {
    case GRIST_PICTURE_TRUNCATED:
      GristError(
        .badData, "the \(name) is cut short", found: "\(fileSize) bytes (\(library): \(message))",
        advice: "fetch the file again")
    case GRIST_PICTURE_UNSUPPORTED:
      GristError(
        .badData, "this kind of \(name) is not supported", offset: offset, found: "\(library): \(message)",
        advice: "convert it to \(plainKind) first")
    case GRIST_PICTURE_OUT_OF_MEMORY:
      GristError(
        .badData, "decoding the \(name) needs more memory than there is", found: "\(library): \(message)",
        advice: "scale the image down first")
    default:
      GristError(
        .badData, "the \(name) is damaged", offset: offset, found: "\(library): \(message)",
        advice: "fetch the file again, or save it anew in an image editor if it looks right there")
    }
  }
}
