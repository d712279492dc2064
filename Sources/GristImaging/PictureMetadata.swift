internal import CZlib
import GristCore

/// What a picture's file says about it beside its pixels, as Pillow's `getexif` gathers it.
struct PictureMetadata {
  /// EXIF data in TIFF's form; empty where there are none.
  private(set) var exif: [UInt8] = []
  /// An XMP packet; empty where there is none.
  private(set) var xmp: [UInt8] = []

  /// Never fails: what makes no sense says nothing.
  init(of bytes: Bytes) {
    switch ImageFormat(of: bytes) {
    case .jpeg: readJPEG(bytes)
    case .png: readPNG(bytes)
    case .webp: readWebP(bytes)
    default: break
    }
    while exif.starts(with: Self.exifStart) { exif.removeFirst(Self.exifStart.count) }
  }

  private static let exifStart = Array("Exif\0\0".utf8)
  private static let xmpStart = Array("http://ns.adobe.com/xap/1.0/\0".utf8)

  private mutating func readJPEG(_ bytes: Bytes) {
    var offset = 2
    while let marker = bytes.integer(at: offset, as: UInt8.self) {
      // Junk between segments, and fill bytes.
      guard marker == 0xff, let kind = bytes.integer(at: offset + 1, as: UInt8.self), kind != 0xff, kind != 0 else {
        offset += 1
        continue
      }
      if kind == 0xda || kind == 0xd9 { break }
      if (0xd0...0xd8).contains(kind) || kind == 0x01 {
        offset += 2
        continue
      }
      guard let length = bytes.integer(at: offset + 2, as: UInt16.self).map({ Int($0.byteSwapped) }) else { break }
      if kind == 0xe1, length >= 2, let segment = bytes.slice(offset + 4, length - 2)?.array {
        if segment.starts(with: Self.exifStart) {
          exif += segment.dropFirst(Self.exifStart.count)
        } else if segment.starts(with: Self.xmpStart) {
          xmp = Array(segment.dropFirst(Self.xmpStart.count))
        }
      }
      offset += 2 + max(length, 2)
    }
  }

  /// `eXIf`, or what ImageMagick writes as text, and the XMP packet of an `iTXt`.
  private mutating func readPNG(_ bytes: Bytes) {
    var profile: [UInt8] = []
    var offset = 8
    while let length = bytes.integer(at: offset, as: UInt32.self).map({ Int($0.byteSwapped) }),
      let kind = bytes.slice(offset + 4, 4)?.array, let data = bytes.slice(offset + 8, length)
    {
      switch String(decoding: kind, as: UTF8.self) {
      case "eXIf": exif = data.array
      case "iTXt": if let text = internationalText(data.array, keyword: "XML:com.adobe.xmp") { xmp = text }
      case "tEXt", "zTXt":
        if let text = plainText(data.array, keyword: "Raw profile type exif", isCompressed: kind[0] == 0x7a) {
          profile = hexadecimalProfile(text)
        }
      default: break
      }
      offset += 12 + length
    }
    if exif.isEmpty { exif = profile }
  }

  private mutating func readWebP(_ bytes: Bytes) {
    var offset = 12
    while let kind = bytes.slice(offset, 4)?.array, let length = bytes.integer(at: offset + 4, as: UInt32.self) {
      guard let data = bytes.slice(offset + 8, Int(length)) else { break }
      switch String(decoding: kind, as: UTF8.self) {
      case "EXIF": exif = data.array
      case "XMP ": xmp = data.array
      default: break
      }
      offset += 8 + Int(length) + Int(length) % 2
    }
  }
}

/// The value of a `tEXt` or `zTXt` chunk with this keyword.
private func plainText(_ chunk: [UInt8], keyword: String, isCompressed: Bool) -> [UInt8]? {
  let start = Array(keyword.utf8) + [0]
  guard chunk.starts(with: start) else { return nil }
  let text = Array(chunk.dropFirst(start.count))
  guard isCompressed else { return text }
  return text.first == 0 ? inflated(Array(text.dropFirst())) : nil
}

/// The value of an `iTXt` chunk with this keyword.
private func internationalText(_ chunk: [UInt8], keyword: String) -> [UInt8]? {
  let start = Array(keyword.utf8) + [0]
  guard chunk.starts(with: start), chunk.count > start.count + 2 else { return nil }
  let isCompressed = chunk[start.count] != 0
  // Behind the two bytes on compression: language and translated keyword, each closed by a zero.
  let fields = chunk[(start.count + 2)...].split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
  guard fields.count == 3 else { return nil }
  return isCompressed ? inflated(Array(fields[2])) : Array(fields[2])
}

/// What ImageMagick wrote: a line break, the profile's name, its length, and its bytes as hexadecimal digits.
private func hexadecimalProfile(_ text: [UInt8]) -> [UInt8] {
  let lines = text.split(separator: 0x0a, omittingEmptySubsequences: true).dropFirst(2)
  let digits = lines.joined().compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

/// At most 1 MiB, as Pillow reads; nil for what is longer or is no zlib stream.
private func inflated(_ bytes: [UInt8]) -> [UInt8]? {
  var size = uLongf(1 << 20)
  let text = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
    let code = uncompress(buffer.baseAddress, &size, bytes, uLong(bytes.count))
    count = code == Z_OK ? Int(size) : 0
  }
  return text.isEmpty ? nil : text
}
