import Foundation
import GristCore
import TestSupport
import Testing

/// The built executable, run as a process.
enum Command {
  struct Result {
    let code: Int32
    let output: String
    let error: String

    /// The one JSON document that must be all of standard output.
    func document(sourceLocation: SourceLocation = #_sourceLocation) throws -> JSONValue {
      #expect(code == 0 || code == 1, "\(error)", sourceLocation: sourceLocation)
      #expect(output.hasSuffix("\n"), sourceLocation: sourceLocation)
      return try JSONValue.parse(output)
    }
  }

  /// Beside the test bundle, where SwiftPM puts it; `GRISTMILL` in the environment names another.
  static let executable: URL? = {
    if let path = ProcessInfo.processInfo.environment["GRISTMILL"] { return URL(fileURLWithPath: path) }
    var folders =
      [URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath(), Bundle.main.bundleURL]
      + ProcessInfo.processInfo.arguments.prefix(1).map { URL(fileURLWithPath: $0) }
    let package = URL(fileURLWithPath: Fixtures.folder).deletingLastPathComponent().deletingLastPathComponent()
    folders += ((try? folderContents(package.path)) ?? []).filter { $0.hasPrefix(".build") }
      .map { package.appendingPathComponent($0 + "/release/x") }
    return folders.lazy.map { $0.deletingLastPathComponent().appendingPathComponent("gristmill") }
      .first { FileManager.default.isExecutableFile(atPath: $0.path) && fileKind(at: $0.path) == .file }
  }()

  /// A process that was started; its output goes to files, so that no pipe fills up.
  final class Running {
    let process = Process()
    private let folder: TemporaryFolder

    init(_ arguments: [String], in directory: String? = nil) throws {
      folder = try TemporaryFolder()
      process.executableURL = try #require(Command.executable, "build the product gristmill first")
      process.arguments = arguments
      if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
      // Help is wrapped at the terminal's width; here there is none.
      process.environment = ProcessInfo.processInfo.environment.merging(["COLUMNS": "80"]) { _, new in new }
      try folder.write("out", [])
      try folder.write("err", [])
      process.standardInput = FileHandle.nullDevice
      process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("out")))
      process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("err")))
      // Threads of the test run may block signals; a child would inherit that.
      var signals = sigset_t()
      sigemptyset(&signals)
      sigaddset(&signals, SIGINT)
      sigaddset(&signals, SIGTERM)
      pthread_sigmask(SIG_UNBLOCK, &signals, nil)
      try process.run()
    }

    func wait() throws -> Result {
      process.waitUntilExit()
      #expect(process.terminationReason == .exit)
      return Result(
        code: process.terminationStatus, output: try #require(readFile(folder.file("out")).utf8),
        error: try #require(readFile(folder.file("err")).utf8))
    }
  }

  static func run(_ arguments: String..., in directory: String? = nil) throws -> Result {
    try Running(arguments, in: directory).wait()
  }

  static func run(_ arguments: [String], in directory: String? = nil) throws -> Result {
    try Running(arguments, in: directory).wait()
  }

  static let crop = Fixtures.path("checkpoints/crop")
  static let router = Fixtures.path("checkpoints/f16-tied")
  static let picture = Fixtures.path("conformance/images/flower_tiny.jpg")
}

extension JSONValue {
  /// Names of the members, in order.
  var names: [String] { object?.names ?? [] }
}
