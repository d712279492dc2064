import Foundation
import GristCore

/// Files that oracles wrote; see Tools/reference/README.md for how to write them anew.
public enum Fixtures {
  public static let folder: String = {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures").path
  }()

  public static func path(_ name: String) -> String { folder + "/" + name }

  /// A fixture that is a JSON document.
  public static func json(_ name: String) throws -> JSONValue {
    try JSONValue.parse(readFile(path(name)))
  }

  public static let conformanceCheckpoint = path("conformance/small-f32")
  public static let conformanceImages = path("conformance/images")
}

/// A folder of its own that goes when the value does.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("gristmill-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  public func file(_ name: String) -> String { path + "/" + name }

  /// Names of everything in the folder, hidden files included.
  public var contents: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }

  /// Writes a file and returns its path.
  @discardableResult
  public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = file(name)
    try FileManager.default.createDirectory(
      atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// A link that says `target`, whether or not that is there.
  public func link(_ name: String, to target: String) throws {
    try? FileManager.default.removeItem(atPath: file(name))
    try FileManager.default.createSymbolicLink(atPath: file(name), withDestinationPath: target)
  }

  public func copy(_ source: String, to name: String) throws -> String {
    try FileManager.default.copyItem(atPath: source, toPath: file(name))
    return file(name)
  }
}

extension JSONValue {
  public var floats: [Float] { (array ?? []).compactMap(\.double).map { Float($0) } }
  public var integers: [Int] { (array ?? []).compactMap(\.integer) }
}
