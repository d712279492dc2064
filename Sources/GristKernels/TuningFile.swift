internal import Glibc
import GristCore

/// The tuning of this machine, kept in the user's cache folder.
package struct TuningFile {
  package let path: String

  /// `$XDG_CACHE_HOME/gristmill/tuning.json`, or below `$HOME/.cache`; nil where neither is set.
  package init?() {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    guard let folder = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }) else { return nil }
    path = folder + "/gristmill/tuning.json"
  }

  package init(path: String) { self.path = path }

  /// Of what is kept; files of another are passed over.
  private static let version = 3

  /// What was kept; nil where nothing was, or for another CPU, other kernels or another number of threads.
  ///
  /// - Throws: 65 when the file holds something else, 74 when it cannot be read.
  package func tuning(threads: Int) throws -> KernelTuning? {
    guard fileKind(at: path) != nil else { return nil }
    let json = try JSONReader(path: path)
    guard try json.integer("version", in: 1...Int(Int32.max)) == Self.version,
      try json.string("machine") == KernelTuning.machine,
      try json.integer("threads", in: 1...4096) == threads
    else { return nil }
    let found = try json.object("tuning")
    func hint(_ name: String) throws -> KernelTuning.Hint {
      guard let hint = KernelTuning.Hint(rawValue: try found.string(name)) else {
        throw found.failure(name, "one of " + KernelTuning.Hint.allCases.map(\.rawValue).joined(separator: ", "))
      }
      return hint
    }
    return KernelTuning(
      int8Hint: try hint("int8_hint"), int4Hint: try hint("int4_hint"),
      distance: try found.integer("distance", in: KernelTuning.distances),
      int8BlockBytes: try found.integer("int8_block_bytes", in: KernelTuning.blockBytes),
      int4BlockBytes: try found.integer("int4_block_bytes", in: KernelTuning.blockBytes),
      loneTiles: try found.integer("lone_tiles", in: KernelTuning.loneTileCounts))
  }

  /// Keeps it, in place of any that was kept before.
  ///
  /// - Throws: 74 when writing fails.
  package func keep(_ tuning: KernelTuning, threads: Int) throws {
    let folder = folderName(of: path)
    try createFolder(folderName(of: folder))
    try createFolder(folder)
    let document: JSONValue = [
      "version": JSONValue(Self.version), "machine": JSONValue(KernelTuning.machine), "threads": JSONValue(threads),
      "tuning": tuning.json,
    ]
    try AtomicFile(path: path).finish(with: Bytes(Array((document.text() + "\n").utf8)))
  }
}

extension Compute {
  /// Uses what `gristmill bench --tune` kept for this machine and so many threads, where it kept anything. It changes no
  /// result.
  ///
  /// - Throws: 65 when the file holds something else, 74 when it cannot be read; what is built in stays in use then.
  public static func useKeptTuning(threads: Int) throws { try TuningFile()?.tuning(threads: threads)?.use() }
}

extension KernelTuning {
  package var json: JSONValue {
    [
      "int8_hint": JSONValue(int8Hint.rawValue), "int4_hint": JSONValue(int4Hint.rawValue),
      "distance": JSONValue(distance),
      "int8_block_bytes": JSONValue(int8BlockBytes), "int4_block_bytes": JSONValue(int4BlockBytes),
      "lone_tiles": JSONValue(loneTiles),
    ]
  }
}
