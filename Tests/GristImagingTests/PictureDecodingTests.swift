import GristCore
import GristImaging
import TestSupport
import Testing

/// Against Pillow's `convert("RGB")` (`Tools/reference/write_pictures.py`).
@Suite("PNG and WebP to RGB, as Pillow does it")
struct PictureDecodingTests {
  static let expected = try? Fixtures.json("pictures/expected.json")["pictures"]?.object
  static let whole = names { $0["size"] != nil && $0["damaged"] == nil }
  static let broken = names { $0["size"] == nil || $0["damaged"] != nil }

  static func names(_ isWanted: (JSONValue) -> Bool) -> [String] {
    (expected?.names ?? []).filter { isWanted(expected?[$0] ?? [:]) }
  }

  static func bytes(_ name: String) throws -> [UInt8] { try readFile(Fixtures.path("pictures/\(name)")).array }

  @Test("the corpus is there")
  func corpus() {
    #expect(Self.whole.count >= 95)
    #expect(Self.broken.count >= 45)
  }

  @Test("pixels are Pillow's", arguments: whole)
  func decoded(name: String) throws {
    let expected = try #require(Self.expected?[name])
    let image = try RGBImage(file: Fixtures.path("pictures/\(name)"))
    #expect([image.width, image.height] == expected["size"]?.integers)
    #expect(sha256(image.pixels) == expected["rgb_sha256"]?.string)
  }

  @Test("what Pillow refuses is refused, and what has a fault that Pillow overlooks", arguments: broken)
  func refused(name: String) throws {
    let path = Fixtures.path("pictures/\(name)")
    let error = try #require(gristError { _ = try RGBImage(file: path) })
    #expect(error.code == .badData)
    #expect(error.file == path)
    #expect(error.advice != nil)
    if name.contains("-cut-"), !name.contains("-cut-0."), !name.contains("-cut-4.") {
      #expect(error.what.hasSuffix("is cut short"), "\(error)")
    }
  }

  @Test(
    "cut anywhere it is no picture",
    arguments: [
      "grey-4-interlaced.png", "palette-8.png", "rgb-alpha-16.png", "lossy-50.webp", "lossless.webp", "animation.webp",
    ])
  func cut(name: String) throws {
    let whole = try Self.bytes(name)
    for length in stride(from: 13, to: whole.count, by: whole.count > 2000 ? 13 : 1) {
      let error = gristError { _ = try RGBImage(encoded: Bytes(Array(whole[..<length])), name: name) }
      #expect(error?.code == .badData, "\(length) of \(whole.count) bytes")
    }
  }

  @Test(
    "changed bytes give a picture or an error",
    arguments: ["rgb-8-interlaced.png", "lossy-alpha.webp", "frame-aside.webp"])
  func changed(name: String) throws {
    let whole = try Self.bytes(name)
    for index in whole.indices {
      var bytes = whole
      bytes[index] ^= 0x55
      do {
        let image = try RGBImage(encoded: Bytes(bytes), name: name)
        #expect(image.pixels.count == image.width * image.height * 3)
        // Every byte of a PNG from its header to its end stands under a checksum.
        #expect(!name.hasSuffix(".png"), "byte \(index)")
      } catch let error as GristError {
        #expect(error.code == .badData)
      }
    }
  }

  @Test("sentences")
  func sentences() throws {
    func sentence(_ name: String) throws -> String? {
      let bytes = try Self.bytes(name)
      return gristError { _ = try RGBImage(encoded: Bytes(bytes), name: "a") }?.description
    }
    #expect(
      try sentence("broken-vast.png")
        == "a: the image has more than the 178956970 pixels allowed: found 65535×65535 pixels; scale or crop it first")
    #expect(
      try sentence("broken-claims.png")
        == "a: the PNG claims more pixels than its bytes can hold: found 9000×9000 in 68 bytes; fetch the file again")
    #expect(
      try sentence("broken-cut-8.png")
        == "a: the PNG is cut short: found 8 bytes (libpng: the file ends inside a chunk); fetch the file again")
    #expect(try sentence("broken-checksum-idat.png")?.contains("the PNG is damaged") == true)
    #expect(try sentence("broken-lossy-cut-30.webp")?.contains("the WebP is cut short") == true)
  }
}
