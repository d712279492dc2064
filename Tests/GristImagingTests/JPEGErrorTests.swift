import GristCore
import GristImaging
import Testing

@Suite("What is not a whole JPEG is refused")
struct JPEGErrorTests {
  private func refusal(_ bytes: [UInt8]) -> GristError? {
    gristError { _ = try RGBImage(encoded: Bytes(bytes), name: "photo.jpg") }
  }

  private func sample(_ name: String) throws -> [UInt8] { try readFile(joinPath(samplesFolder, name)).array }

  /// Position of the byte after a marker's two bytes.
  private func position(after marker: UInt8, in jpeg: [UInt8]) throws -> Int {
    try #require(jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == marker }) + 2
  }

  @Test("the broken samples, which Pillow refuses as well")
  func brokenSamples() throws {
    let names = try folderContents(samplesFolder).filter { $0.hasPrefix("broken-") }
    #expect(names.count >= 4)
    for name in names {
      let path = joinPath(samplesFolder, name)
      let error = gristError { _ = try RGBImage(file: path) }
      #expect(error?.code == .badData, "\(name)")
      #expect(error?.file == path, "\(name)")
    }
  }

  @Test("a missing file")
  func missing() {
    #expect(gristError { _ = try RGBImage(file: "/nonexistent/photo.jpg") }?.code == .missingInput)
  }

  @Test(
    "other formats are named",
    arguments: [
      (Array("GIF89a..........".utf8), "a GIF image"),
      (Array("RIFF....WAVEfmt ".utf8), "the bytes 52 49 46 46 2e 2e 2e 2e"),
      (Array("BM..............".utf8), "a BMP image"),
      ([0x4D, 0x4D, 0x00, 0x2A, 0, 0, 0, 8], "a TIFF image"),
      (Array("....ftypheic....".utf8), "a HEIF or AVIF image, or a video"),
      ([0, 0, 0, 12, 0x4A, 0x58, 0x4C, 0x20], "a JPEG XL image"),
      ([0, 0, 0, 12, 0x6A, 0x50, 0x20, 0x20], "a JPEG 2000 image"),
      ([0xFF, 0xD8], "the bytes ff d8"),
      ([], "an empty file"),
    ] as [([UInt8], String)])
  func otherFormats(start: [UInt8], description: String) {
    let advice =
      start.isEmpty
      ? "fetch the file again"
      : description.hasPrefix("the bytes") ? "name a picture" : "convert it to JPEG, PNG or WebP first"
    #expect(refusal(start)?.description == "photo.jpg: not a JPEG, PNG or WebP image: found \(description); \(advice)")
  }

  @Test(
    "a file cut anywhere, be it before its last byte",
    arguments: [
      "gray-odd.jpg", "size-2x3.jpg", "sampling-420-odd.jpg", "progressive.jpg", "restart-blocks.jpg",
      "cmyk-no-adobe.jpg",
    ])
  func truncated(name: String) throws {
    let whole = try sample(name)
    _ = try RGBImage(encoded: Bytes(whole), name: name)
    let lengths = Array(stride(from: 0, to: whole.count, by: whole.count > 2000 ? 17 : 1)) + [whole.count - 1]
    for length in lengths {
      let error = refusal(Array(whole[..<length]))
      #expect(error?.code == .badData, "\(length) of \(whole.count) bytes")
      if length > 2 { #expect(error?.what == "the JPEG is cut short", "\(length) of \(whole.count) bytes") }
    }
  }

  @Test("the message of a cut file")
  func truncationMessage() throws {
    let whole = try sample("gray.jpg")
    #expect(
      refusal(Array(whole[..<3000]))?.description == """
        photo.jpg: the JPEG is cut short: found 3000 bytes (libjpeg: Premature end of JPEG file); \
        fetch the file again
        """)
  }

  @Test("a marker in the middle of the image data")
  func corruptData() throws {
    var jpeg = try sample("gray.jpg")
    let middle = jpeg.count * 3 / 4
    jpeg.replaceSubrange(middle..<middle + 2, with: [0xFF, 0xD9])
    let error = try #require(refusal(jpeg))
    #expect(error.what == "the JPEG is damaged")
    #expect(error.found == "libjpeg: Corrupt JPEG data: premature end of data segment")
    #expect(error.offset.map { $0 > 0 && $0 <= jpeg.count } == true)
  }

  @Test("flipped bits give an image or an error, never a crash")
  func flippedBits() throws {
    var refused = 0
    for name in ["gray-odd.jpg", "progressive.jpg", "ycck-sampled.jpg", "restart-blocks.jpg"] {
      let whole = try sample(name)
      let positions = noise(300 * 2, seed: 7)
      for trial in 0..<300 {
        var jpeg = whole
        let position = (Int(positions[trial * 2]) * 256 + Int(positions[trial * 2 + 1])) * whole.count / 65536
        jpeg[position] ^= UInt8(1 << (trial % 8))
        do {
          _ = try RGBImage(encoded: Bytes(jpeg), name: name)
        } catch let error as GristError {
          #expect(error.code == .badData)
          refused += 1
        }
      }
    }
    #expect(refused > 100)
  }

  @Test("more pixels than allowed are refused before any is decoded")
  func tooManyPixels() throws {
    var jpeg = try sample("gray.jpg")
    let frame = try position(after: 0xC0, in: jpeg)
    jpeg.replaceSubrange(frame + 3..<frame + 7, with: [0xEA, 0x60, 0xEA, 0x60])
    let error = try #require(refusal(jpeg))
    #expect(error.what == "the image has more than the 178956970 pixels allowed")
    #expect(error.found == "60000×60000 pixels")
  }

  @Test("no rows, no columns")
  func noPixels() throws {
    var jpeg = try sample("gray.jpg")
    let frame = try position(after: 0xC0, in: jpeg)
    jpeg[frame + 3] = 0
    jpeg[frame + 4] = 0
    #expect(refusal(jpeg)?.what == "the JPEG is damaged")
  }

  @Test("12 bits a sample and lossless coding are not supported")
  func unsupportedKinds() throws {
    var deep = try sample("gray.jpg")
    deep[try position(after: 0xC0, in: deep) + 2] = 12
    #expect(refusal(deep)?.what == "this kind of JPEG is not supported")
    #expect(refusal(deep)?.found == "libjpeg: Unsupported JPEG data precision 12")

    var lossless = try sample("gray.jpg")
    lossless[try position(after: 0xC0, in: lossless) - 1] = 0xC3
    #expect(refusal(lossless)?.what == "this kind of JPEG is not supported")
  }

  @Test("two components are no kind of colour")
  func twoComponents() throws {
    var jpeg = try sample("gray.jpg")
    let frame = try position(after: 0xC0, in: jpeg)
    jpeg.replaceSubrange(frame..<frame + 11, with: Array(jpeg[frame..<frame + 11]) + [2, 0x11, 0])
    jpeg[frame + 1] += 3
    jpeg[frame + 7] = 2
    #expect(refusal(jpeg)?.what == "a JPEG must have 1, 3 or 4 components")
  }

  @Test("19.20: more pixels than the bytes can tell apart")
  func emptyPixels() throws {
    var bytes = try sample("gray.jpg")
    let size = try position(after: 0xC0, in: bytes) + 3
    // 13,000 × 13,000 of one component.
    bytes.replaceSubrange(size..<size + 4, with: [0x32, 0xc8, 0x32, 0xc8])
    #expect(refusal(bytes)?.what == "the JPEG claims more pixels than its bytes can tell apart")
  }

  @Test("19.20: a hundred scans over the same image")
  func tooManyScans() throws {
    let first = try position(after: 0xDA, in: greyInTwoScans) - 2
    let table = try #require(
      (first + 2..<greyInTwoScans.count).first {
        greyInTwoScans[$0] == 0xFF && greyInTwoScans[$0 + 1] == 0xC4
      })
    func repeating(_ count: Int) -> [UInt8] {
      let scans = (0..<count).flatMap { _ in greyInTwoScans[first..<table] }
      return Array(greyInTwoScans[..<first]) + scans + Array(greyInTwoScans[table...])
    }
    #expect(refusal(repeating(90)) == nil)
    #expect(refusal(repeating(110))?.found == "libjpeg: more scans than any real image has")
  }

  @Test("a scan after one that held everything")
  func scanAfterTheImage() throws {
    let jpeg = try sample("gray-odd.jpg")
    let scan = try position(after: 0xDA, in: jpeg) - 2
    let doubled = jpeg.dropLast(2) + jpeg[scan...]
    #expect(refusal(Array(doubled))?.found == "libjpeg: Didn't expect more than one scan")
  }
}
