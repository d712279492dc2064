import Foundation
import GristCore
import GristImaging

// A path a line comes in; a line with its picture's sizes, stored and turned, goes out, and the pixels of both behind it;
// or a line with a sentence.
while let path = readLine() {
  do {
    let bytes = Bytes([UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
    let stored = try RGBImage(encoded: bytes, name: path)
    let turned = stored.upright(from: Orientation(of: bytes))
    let line = "\(stored.width) \(stored.height) \(turned.width) \(turned.height)\n"
    FileHandle.standardOutput.write(Data(line.utf8) + Data(stored.pixels) + Data(turned.pixels))
  } catch {
    FileHandle.standardOutput.write(Data("refused \(error)\n".utf8))
  }
}
