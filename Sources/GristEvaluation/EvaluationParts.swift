import Foundation
import GristCore

/// Joins the folders of an evaluation's parts to one that has every answer. The evaluation's own command then finds nothing
/// left to ask, and writes the figures of all.
public enum EvaluationParts {
  /// Whether there is an evaluation's folder at `path`.
  public static func isFolder(at path: String) -> Bool { fileKind(at: EvaluationFolder.progress(in: path)) == .file }

  /// - Parameters:
  ///   - folders: of the parts, in any order.
  ///   - output: a folder that is not there yet.
  ///
  /// - Returns: How many questions were answered in all.
  /// - Throws: 65 for folders of different evaluations and for a question that was answered twice, 64 when the output is
  ///   there already.
  public static func merge(_ folders: [String], into output: String) throws -> Int {
    guard fileKind(at: output) == nil else {
      throw GristError(.usage, "the output is there already", file: output, advice: "name a folder that is not")
    }
    var heading: ArraySlice<UInt8>?
    var lines: [(index: Int, text: ArraySlice<UInt8>)] = []
    var seen: [Int: String] = [:]
    for folder in folders {
      let path = EvaluationFolder.progress(in: folder)
      let all = try JSONLines.wholeLines(path: path)
      guard let first = all.first else { throw GristError(.badData, "the folder holds no evaluation", file: folder) }
      if let heading, !heading.elementsEqual(first) {
        throw GristError(
          .badData, "the parts are of different evaluations", file: path,
          advice: "join what one command gave with another --part alone")
      }
      heading = heading ?? first
      for (number, line) in all.dropFirst().enumerated() {
        let json = try JSONLines.reader(line, path: path, number: number + 2)
        let index = try json.integer("index", in: 0...Int(Int32.max))
        if let other = seen.updateValue(path, forKey: index) {
          throw GristError(.badData, "a question was answered twice", file: json.file, found: other)
        }
        lines.append((index, line))
      }
    }
    guard let heading else { throw GristError(.usage, "there are no parts") }
    let sorted = lines.sorted { $0.index < $1.index }.map(\.text)
    let text = ([heading] + sorted).flatMap { $0 + [0x0a] }
    try createFolder(output)
    try AtomicFile(path: EvaluationFolder.progress(in: output), forces: true).finish(with: Bytes(text))
    return lines.count
  }
}
