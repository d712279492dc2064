import Foundation
import GristCore

/// A folder in memory, where the system has one, for readers that want a file. Its files are written again each time.
struct Scratch: Sendable {
  private let path: String

  init() {
    let root = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    path = "\(root)/gristmill-fuzz-\(ProcessInfo.processInfo.processIdentifier)"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  func file(_ name: String, _ bytes: Bytes) throws -> String {
    let file = "\(path)/\(name)"
    try Data(bytes.array).write(to: URL(fileURLWithPath: file))
    return file
  }

  func folder(with name: String, _ bytes: Bytes) throws -> String {
    _ = try file(name, bytes)
    return path
  }
}
