import CLibFuzzer
import Foundation
import GristCore

/// Gives a reader whatever libFuzzer thinks of. Arguments are libFuzzer's; GRISTMILL_FUZZ names the reader.
@main
struct Fuzz {
  private static let reader: FuzzedReader = {
    let name = ProcessInfo.processInfo.environment["GRISTMILL_FUZZ"]
    guard let reader = FuzzedReader.all.first(where: { $0.name == name }) else {
      fatalError("GRISTMILL_FUZZ must be one of " + FuzzedReader.all.map(\.name).joined(separator: ", "))
    }
    return reader
  }()
  private static let scratch = Scratch()

  static func main() {
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(LLVMFuzzerRunDriver(&count, &arguments) { data, count in Fuzz.read(data, count) })
  }

  private static func read(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
      try reader.read(Bytes(Array(UnsafeBufferPointer(start: data, count: count))), scratch)
    } catch is GristError {
      // A sentence: that is how bad input is to end.
    } catch {
      fatalError("not a GristError: \(error)")
    }
    return 0
  }
}
