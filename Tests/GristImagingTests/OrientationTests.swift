import GristCore
import GristImaging
import TestSupport
import Testing

/// Against Pillow's `ImageOps.exif_transpose` (`Tools/reference/write_orientation.py`).
@Suite("Orientation") struct OrientationTests {
  static let names = (try? Fixtures.json("orientation/expected.json").object?.names) ?? []

  @Test("pixels are Pillow's, as they are stored and as they are to be looked at", arguments: names)
  func turned(name: String) throws {
    let expected = try #require(Fixtures.json("orientation/expected.json")[name])
    let bytes = try readFile(Fixtures.path("orientation/\(name)"))
    let stored = try RGBImage(encoded: bytes, name: name)
    #expect(sha256(stored.pixels) == expected["stored"]?.string)
    let turned = stored.upright(from: Orientation(of: bytes))
    #expect([turned.width, turned.height] == expected["size"]?.integers)
    #expect(sha256(turned.pixels) == expected["turned"]?.string)
  }

  @Test("any bytes at all have an orientation")
  func anything() throws {
    let bytes = try readFile(Fixtures.path("orientation/little.jpg")).array
    for length in 0..<min(bytes.count, 400) { _ = Orientation(of: Bytes(Array(bytes.prefix(length)))) }
    for index in 2..<40 {
      for value: UInt8 in [0, 1, 0x7f, 0x80, 0xff] {
        var changed = bytes
        changed[index] = value
        _ = Orientation(of: Bytes(changed))
      }
    }
    #expect(Orientation(of: Bytes([])) == .upright)
  }
}
