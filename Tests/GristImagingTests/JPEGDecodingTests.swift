import GristCore
import GristImaging
import Testing

@Suite("JPEG to RGB, as Pillow does it")
struct JPEGDecodingTests {
  @Test("every sample decodes to Pillow's bytes")
  func samples() throws {
    let samples = try decodableSamples()
    #expect(samples.count >= 34)
    for sample in samples {
      let image = try RGBImage(file: sample.path)
      #expect(try [image.width, image.height] == sample.expected.integers("size", in: 1...100_000), "\(sample.name)")
      #expect(try sha256(image.pixels) == sample.expected.string("rgb_sha256"), "\(sample.name)")
    }
  }

  @Test("a JPEG in memory decodes like the file")
  func inMemory() throws {
    let path = joinPath(photographsFolder, "flower_tiny.jpg")
    #expect(try RGBImage(encoded: readFile(path), name: "memory") == RGBImage(file: path))
  }

  @Test("a progressive grey JPEG of separate scans")
  func separateScans() throws {
    let image = try RGBImage(encoded: Bytes(greyInTwoScans), name: "two scans")
    let firstRow: [UInt8] = [237, 0, 120, 150, 0, 166, 53, 115]
    #expect(image.pixels.prefix(24).elementsEqual(firstRow.flatMap { [$0, $0, $0] }))
  }

  @Test("an arithmetic-coded JPEG decodes, or libjpeg says that it was built without")
  func arithmeticCoding() throws {
    let firstRow: [UInt8] = [219, 2, 102, 171, 24, 179, 26, 85]
    do {
      let image = try RGBImage(encoded: Bytes(arithmeticCodedGrey), name: "arithmetic")
      #expect(image.pixels.prefix(24).elementsEqual(firstRow.flatMap { [$0, $0, $0] }))
    } catch let error as GristError {
      #expect(error.what == "this kind of JPEG is not supported")
    }
  }

  @Test("odd labels that leave the image whole are no errors")
  func harmlessWarnings() throws {
    var jpeg = greyInTwoScans
    // The major version of the JFIF segment.
    jpeg[11] = 9
    #expect(try RGBImage(encoded: Bytes(jpeg), name: "") == RGBImage(encoded: Bytes(greyInTwoScans), name: ""))
  }
}

/// 8×8 grey, one scan for the DC coefficients and one for the others.
let greyInTwoScans = bytes(
  hexadecimal: """
    ffd8ffe000104a46494600010100000100010000ffdb0083100028001c001e0023001e00190028002300210023002d002b00280030003c0064
    0041003c00370037003c007b0058005d004900640091008000990096008f0080008c008a00a000b400e600c300a000aa00da00ad008a008c00
    c8011100cb00da00ee00f5010201040102009b00c1011b012f011800fa012c00e600fd010200f8ffc2000b080008000801011100ffc4001400
    0100000000000000000000000000000002ffda00080101000000003fffc4001e10000201030500000000000000000000000102120011213132
    415171ffda0008010100013f00742f02dbcde4157acf075248f715ffd9
    """)

private let arithmeticCodedGrey = bytes(
  hexadecimal: """
    ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a
    0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc9000b080008000801011100ffcc000600101005ffda0008
    010100003f00ff0048b318e0bcabb04e82df325b84e2f1b049ab0fefd171c4c4b8a7da2f036f6fa6e8a1f25ad525e6cfb6a3fce072c29d1fc5
    f4b53cad158c3a8ba70e3b7ba08b80ffd9
    """)
