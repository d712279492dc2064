import GristCore

/// How a picture's rows lie, by EXIF's tag 0x0112: what a camera writes instead of turning the pixels.
public enum Orientation: Int, Sendable, CaseIterable {
  case upright = 1
  case mirrored, upsideDown, flipped, transposed, turnedLeft, transversed, turnedRight

  /// Of a JPEG, PNG or WebP file as Pillow's `ImageOps.exif_transpose` finds it: EXIF's first directory, or where that
  /// says nothing, `tiff:Orientation` in the XMP. Upright where neither says anything that makes sense.
  public init(of bytes: Bytes) {
    let metadata = PictureMetadata(of: bytes)
    let value = Self.tag(metadata.exif) ?? Self.attribute(metadata.xmp)
    self = value.flatMap(Orientation.init(rawValue:)) ?? .upright
  }

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
