import Foundation
import GristCore
import GristKernels
import GristModel

/// Feedback on its way: a line a question, and every picture's features once, in bf16, in the order in which pictures
/// come.
final class FeedbackFolder {
  let path: String
  /// Of the questions that were asked, in the order in which they were.
  private(set) var feedback: [QuestionFeedback]
  private let log: QuestionLog
  private let shape: FeatureShape
  private let featuresFile: FileHandle
  /// Where a picture's features begin, in bytes.
  private var places: [String: Int] = [:]
  private var end = 0

  /// What it holds, for messages.
  private static let content = "feedback"
  static func lines(in folder: String) -> String { joinPath(folder, "feedback.jsonl") }
  private static func features(in folder: String) -> String { joinPath(folder, "features.bf16") }

  /// - Parameters:
  ///   - path: created when it is not there.
  ///   - key: what two gatherings do not share whose losses may differ, by name.
  ///   - questions: how many there are.
  ///   - granularities: how many losses a question has.
  ///   - shape: of a tile's features.
  ///
  /// - Throws: 65 when the folder holds another feedback, or one that was changed; 74 when it cannot be written.
  init(path: String, key: JSONObject, questions: Int, granularities: Int, shape: FeatureShape) throws {
    (self.path, self.shape) = (path, shape)
    try createFolder(path)
    var heading = key
    heading["format"] = "gristmill-feedback"
    heading["patches"] = JSONValue(shape.patches)
    heading["width"] = JSONValue(shape.width)
    log = try QuestionLog(
      path: Self.lines(in: path), heading: heading, questions: questions, what: Self.content)
    feedback = try log.entries.map { try QuestionFeedback($0, granularities: granularities) }
    let features = Self.features(in: path)
    func failure(_ error: any Error) -> GristError {
      GristError(.inputOutput, "the folder cannot be written", file: features, found: error.localizedDescription)
    }
    let count: UInt64
    do {
      if fileKind(at: features) == nil { try Data().write(to: URL(fileURLWithPath: features)) }
      featuresFile = try FileHandle(forUpdating: URL(fileURLWithPath: features))
      count = try featuresFile.seekToEnd()
    } catch { throw failure(error) }
    for item in feedback { note(item.picture, tiles: item.tiles) }
    guard count >= end else {
      throw GristError(
        .badData, "the features end too soon", file: features, found: "\(count) bytes instead of \(end)",
        advice: "remove the folder and gather feedback again")
    }
    // Features are written before the line that speaks of them.
    do { try featuresFile.truncate(atOffset: UInt64(end)) } catch { throw failure(error) }
  }

  private func note(_ picture: String, tiles: Int) {
    guard places[picture] == nil else { return }
    places[picture] = end
    end += shape.byteCount(tiles: tiles)
  }

  /// Whether a picture's features are here.
  func has(_ picture: String) -> Bool { places[picture] != nil }

  /// Keeps what a question gave, and its picture's features where they are not here yet.
  ///
  /// - Throws: 74 when the folder cannot be written.
  func append(_ item: QuestionFeedback, features: Bytes) throws {
    do {
      if !has(item.picture) {
        try featuresFile.seekToEnd()
        try features.withUnsafeBytes { try featuresFile.write(contentsOf: Data($0)) }
      }
    } catch {
      throw GristError(
        .inputOutput, "the folder cannot be written", file: path, found: error.localizedDescription,
        advice: "make room and run it again: it goes on")
    }
    note(item.picture, tiles: item.tiles)
    try log.append(item.json)
    feedback.append(item)
  }

  /// Every picture's features, mapped, looked at once whether they are what was written.
  ///
  /// - Throws: 65 when they are not.
  func pictures() throws -> FeedbackPictures {
    try featuresFile.synchronize()
    let file = Self.features(in: path)
    let bytes = try MappedFile(path: file).bytes
    var found: [String: (bytes: Bytes, tiles: Int)] = [:]
    for item in feedback where found[item.picture] == nil {
      let count = shape.byteCount(tiles: item.tiles)
      guard let place = places[item.picture], let slice = bytes.slice(place, count),
        hexadecimal(checksum(slice)) == item.featuresChecksum
      else {
        throw GristError(
          .badData, "the features of a picture are not what was written", file: file,
          offset: places[item.picture].map(UInt64.init), advice: "remove the folder and gather feedback again")
      }
      found[item.picture] = (slice, item.tiles)
    }
    return FeedbackPictures(shape: shape, pictures: found)
  }

  /// Joins the folders of several parts to what one run would have given, byte for byte.
  ///
  /// - Returns: How many questions there are.
  /// - Throws: 65 for folders of different feedback, for a question that was asked twice and for damage.
  static func merge(_ folders: [String], into output: String) throws -> Int {
    try QuestionLog.requireNothing(at: output)
    let joined = try QuestionLog.joined(folders.map(lines), what: content)
    let parts = try folders.map { folder -> FeedbackPictures in
      guard let first = try JSONLines.wholeLines(path: lines(in: folder)).first else { return FeedbackPictures() }
      let heading = try JSONLines.reader(first, path: lines(in: folder), number: 1)
      let shape = FeatureShape(
        patches: try heading.integer("patches", in: 1...1 << 20), width: try heading.integer("width", in: 1...1 << 20))
      return try FeedbackFolder(
        path: folder, key: heading.object, questions: Int(Int32.max),
        granularities: heading.array("granularities").count, shape: shape
      ).pictures()
    }
    try createFolder(output)
    let features = try AtomicFile(path: Self.features(in: output), forces: true)
    var written = Set<String>()
    for (json, log) in joined.entries {
      let picture = try json.string("picture")
      guard written.insert(picture).inserted, let bytes = parts[log].stored(picture) else { continue }
      try bytes.withUnsafeBytes { try features.append($0) }
    }
    try features.commit()
    try AtomicFile(path: lines(in: output), forces: true).finish(with: joined.text)
    return joined.entries.count
  }
}

/// Rows and columns of a tile's features.
package struct FeatureShape: Sendable, Equatable {
  package let patches: Int
  package let width: Int

  package init(patches: Int, width: Int) { (self.patches, self.width) = (patches, width) }

  func byteCount(tiles: Int) -> Int { tiles * patches * width * 2 }
}

/// The pictures that feedback is about, as the router sees them.
package struct FeedbackPictures: Sendable {
  private let shape: FeatureShape
  private let pictures: [String: (bytes: Bytes, tiles: Int)]

  package init(
    shape: FeatureShape = FeatureShape(patches: 0, width: 0),
    pictures: [String: (bytes: Bytes, tiles: Int)] = [:]
  ) {
    (self.shape, self.pictures) = (shape, pictures)
  }

  /// As they are kept.
  func stored(_ picture: String) -> Bytes? { pictures[picture]?.bytes }

  /// [tiles · patches, width].
  func features(of picture: String) -> (features: FloatMatrix, tiles: Int)? {
    pictures[picture].map { bytes, tiles in
      let matrix = FloatMatrix(
        rows: tiles * shape.patches, columns: shape.width, values: floats(bytes, .bf16))
      return (matrix, tiles)
    }
  }
}

/// Joins what several runs of `gristmill align --part K/N` gathered.
public enum FeedbackParts {
  /// Whether there is a folder of feedback at `path`.
  public static func isFolder(at path: String) -> Bool { fileKind(at: FeedbackFolder.lines(in: path)) == .file }

  /// - Returns: How many questions there are.
  /// - Throws: 65 for folders of different feedback, for a question that was asked twice and for damage; 64 when the
  ///   output is there already.
  public static func merge(_ folders: [String], into output: String) throws -> Int {
    try FeedbackFolder.merge(folders, into: output)
  }
}

extension Bytes {
  /// The checksum that a line of feedback has of its picture's features.
  var featuresChecksum: String { hexadecimal(checksum(self)) }
}
