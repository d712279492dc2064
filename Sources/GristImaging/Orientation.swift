import GristCore

/// How a picture's rows lie, by EXIF's tag 0x0112: what a camera writes instead of turning the pixels.
public enum Orientation: Int, Sendable, CaseIterable {
  case upright = 1
  case mirrored, upsideDown, flipped, transposed, turnedLeft, transversed, turnedRight

  /// Of a JPEG file as Pillow's `ImageOps.exif_transpose` finds it: EXIF's first directory, or where that says nothing,
  /// `tiff:Orientation` in the XMP. Upright where neither says anything that makes sense.
  public init(ofJPEG bytes: Bytes) {
    var (exif, xmp) = ([UInt8](), [UInt8]())
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
      guard let high = bytes.integer(at: offset + 2, as: UInt8.self),
        let low = bytes.integer(at: offset + 3, as: UInt8.self)
      else { break }
      let length = Int(high) << 8 | Int(low)
      if kind == 0xe1, length >= 2, let segment = bytes.slice(offset + 4, length - 2)?.array {
        if segment.starts(with: Self.exifStart) {
          exif += segment.dropFirst(Self.exifStart.count)
        } else if segment.starts(with: Self.xmpStart) {
          xmp = Array(segment.dropFirst(Self.xmpStart.count))
        }
      }
      offset += 2 + max(length, 2)
    }
    let value = Self.tag(exif) ?? Self.attribute(xmp)
    self = value.flatMap(Orientation.init(rawValue:)) ?? .upright
  }

  private static let exifStart = Array("Exif\0\0".utf8)
  private static let xmpStart = Array("http://ns.adobe.com/xap/1.0/\0".utf8)

  /// The tag in the first directory of TIFF's form.
  private static func tag(_ tiff: [UInt8]) -> Int? {
    let isBig = tiff.starts(with: "MM".utf8)
    guard isBig || tiff.starts(with: "II".utf8) else { return nil }
    func number(_ offset: Int, _ count: Int) -> Int? {
      guard offset >= 0, offset <= tiff.count - count else { return nil }
      let digits = tiff[offset..<offset + count]
      return (isBig ? Array(digits) : digits.reversed()).reduce(0) { $0 << 8 | Int($1) }
    }
    guard let directory = number(4, 4), let count = number(directory, 2) else { return nil }
    for entry in 0..<count {
      let place = directory + 2 + 12 * entry
      guard let tag = number(place, 2) else { return nil }
      guard tag == 0x0112 else { continue }
      switch number(place + 2, 2) {
      case 3: return number(place + 8, 2)
      case 4: return number(place + 8, 4)
      case 1: return number(place + 8, 1)
      default: return nil
      }
    }
    return nil
  }

  private static func attribute(_ xmp: [UInt8]) -> Int? {
    let text = String(decoding: xmp, as: UTF8.self)
    for start in ["tiff:Orientation=\"", "tiff:Orientation>"] {
      let pieces = text.split(atBytesOf: start)
      if pieces.count > 1, let digit = pieces[1].first?.wholeNumberValue { return digit }
    }
    return nil
  }

  /// Where the pixel of the upright picture lies in one of `width` × `height` that is stored so.
  fileprivate func source(x: Int, y: Int, width: Int, height: Int) -> (x: Int, y: Int) {
    switch self {
    case .upright: (x, y)
    case .mirrored: (width - 1 - x, y)
    case .upsideDown: (width - 1 - x, height - 1 - y)
    case .flipped: (x, height - 1 - y)
    case .transposed: (y, x)
    case .turnedLeft: (y, height - 1 - x)
    case .transversed: (width - 1 - y, height - 1 - x)
    case .turnedRight: (width - 1 - y, x)
    }
  }

  fileprivate var swapsExtents: Bool { rawValue >= Orientation.transposed.rawValue }
}

extension RGBImage {
  /// The picture as it is to be looked at, when its rows lie as `orientation` says.
  public func upright(from orientation: Orientation) -> RGBImage {
    guard orientation != .upright else { return self }
    let (width, height) = orientation.swapsExtents ? (self.height, self.width) : (self.width, self.height)
    var turned = [UInt8](repeating: 0, count: pixels.count)
    for y in 0..<height {
      for x in 0..<width {
        let source = orientation.source(x: x, y: y, width: self.width, height: self.height)
        let (from, to) = ((source.y * self.width + source.x) * 3, (y * width + x) * 3)
        for channel in 0..<3 { turned[to + channel] = pixels[from + channel] }
      }
    }
    return RGBImage(uncheckedWidth: width, height: height, pixels: turned)
  }
}
