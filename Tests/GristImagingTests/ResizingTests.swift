import GristCore
import GristImaging
import Testing

@Suite("Bicubic resizing, as Pillow does it")
struct ResizingTests {
  @Test("every case of resize.json, byte for byte")
  func cases() throws {
    let cases = try JSONReader(path: joinPath(samplesFolder, "resize.json")).objects("cases")
    #expect(cases.count >= 28)
    for value in cases {
      let size = try value.integers("source_size", in: 1...1000)
      let newSize = try value.integers("result_size", in: 1...1000)
      let source = try value.integers("source", in: 0...255).map { UInt8($0) }
      let expected = try value.integers("result", in: 0...255).map { UInt8($0) }
      let image = try RGBImage(width: size[0], height: size[1], pixels: source)
      let resized = try image.resized(toWidth: newSize[0], height: newSize[1])
      #expect(resized.pixels == expected, "\(size) to \(newSize)")
    }
  }

  @Test("a column of more than a hundred times the width is shortened first")
  func slimImage() throws {
    let slim = try RGBImage(width: 2, height: 201, pixels: noise(2 * 201 * 3))
    #expect(
      try slim.resized(toWidth: 5, height: 3).pixels == [
        122, 135, 130, 124, 135, 130, 131, 137, 129, 137, 139, 128, 139, 139, 128,
        140, 138, 124, 137, 136, 126, 130, 132, 131, 123, 128, 136, 120, 126, 138,
        136, 128, 132, 134, 127, 132, 130, 124, 130, 125, 120, 127, 123, 119, 127,
      ])
    let lessSlim = try RGBImage(width: 2, height: 200, pixels: noise(2 * 200 * 3))
    #expect(
      try lessSlim.resized(toWidth: 5, height: 3).pixels == [
        122, 134, 130, 124, 135, 130, 131, 137, 129, 137, 138, 128, 139, 139, 128,
        139, 138, 123, 137, 137, 126, 130, 133, 131, 123, 128, 136, 121, 126, 138,
        136, 126, 132, 135, 125, 131, 130, 123, 129, 125, 121, 127, 124, 121, 126,
      ])
  }

  @Test("the same extents give the same image")
  func identity() throws {
    let image = try RGBImage(width: 7, height: 5, pixels: noise(7 * 5 * 3))
    #expect(try image.resized(toWidth: 7, height: 5) == image)
  }

  @Test("extents that are no image", arguments: [(0, 5), (5, 0), (-1, 5), (Int.max, 2), (20_000, 20_000)])
  func badExtents(width: Int, height: Int) throws {
    let image = try RGBImage(width: 2, height: 2, pixels: noise(12))
    #expect(gristError { _ = try image.resized(toWidth: width, height: height) }?.code == .badData)
  }

  @Test("an image in between that is too large")
  func tooLargeInBetween() throws {
    let image = try RGBImage(width: 300, height: 20_000, pixels: noise(300 * 20_000 * 3))
    #expect(gristError { _ = try image.resized(toWidth: 100_000, height: 1000) }?.found == "100000×20000 pixels")
  }

  @Test("pixels and extents must fit")
  func checkedImage() {
    #expect(gristError { _ = try RGBImage(width: 2, height: 2, pixels: noise(11)) }?.found == "11 bytes")
    #expect(gristError { _ = try RGBImage(width: 0, height: 2, pixels: []) }?.code == .badData)
    #expect(gristError { _ = try RGBImage(width: -2, height: -2, pixels: noise(12)) }?.code == .badData)
  }
}
