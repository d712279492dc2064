import GristCore
import GristImaging
import GristSources

/// The folder `Tests/Fixtures`, found from this file.
let fixturesFolder = joinPath(folderName(of: folderName(of: #filePath)), "Fixtures")
let samplesFolder = joinPath(fixturesFolder, "images")
let conformanceFolder = joinPath(fixturesFolder, "conformance")
let photographsFolder = joinPath(conformanceFolder, "images")

let clipMean = [0.48145466, 0.4578275, 0.40821073]
let clipStandardDeviation = [0.26862954, 0.26130258, 0.27577711]

/// An image file, and what Pillow made of it as `images/expected.json` tells.
struct ImageSample {
  let name: String
  let path: String
  let expected: JSONReader
}

/// All samples and photographs that Pillow decodes.
func decodableSamples() throws -> [ImageSample] {
  let document = try JSONReader(path: joinPath(samplesFolder, "expected.json"))
  return try [("samples", samplesFolder), ("photographs", photographsFolder)].flatMap { group, folder in
    let members = try document.object(group)
    return try members.object.names.map {
      ImageSample(name: $0, path: joinPath(folder, $0), expected: try members.object($0))
    }.filter { try !$0.expected.bool("error") }
  }
}

/// LLaVA-NeXT's five canvases in tiles of `side` pixels.
func canvases(side: Int) -> [(width: Int, height: Int)] {
  [(side, 2 * side), (2 * side, side), (2 * side, 2 * side), (3 * side, side), (side, 3 * side)]
}

func sha256(_ bytes: [UInt8]) -> String { sha256(Bytes(bytes)) }

/// Bytes of a linear congruential generator, for images that need no file: the same in any language.
func noise(_ count: Int, seed: UInt32 = 12345) -> [UInt8] {
  var state = seed
  return (0..<count).map { _ in
    state = (state &* 1_103_515_245 &+ 12345) & 0x7FFF_FFFF
    return UInt8(truncatingIfNeeded: state >> 16)
  }
}

/// The bytes a string of hexadecimal digits spells.
func bytes(hexadecimal text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

/// The error `body` throws, nil when it throws none or another kind.
func gristError(_ body: () throws -> Void) -> GristError? {
  do {
    try body()
    return nil
  } catch {
    return error as? GristError
  }
}
