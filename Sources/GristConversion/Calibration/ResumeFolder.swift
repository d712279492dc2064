import GristCore
import GristFormat
import GristKernels
import GristSources

/// What a full calibration has done so far, in a folder of its own, so that one that was stopped can go on: the
/// matrices of every finished layer, and the rows as the last of them left them.
///
/// Every file appears whole or not at all. What another calibration left in the folder is not used, and goes.
package final class ResumeFolder {
  package let folder: String
  /// Says which calibration this is.
  private let key: String
  /// Finished layers.
  package private(set) var layers = 0

  /// - Parameters:
  ///   - folder: created when it is not there. Only files that this type writes may be in it.
  ///   - key: anything that two calibrations whose results differ do not share.
  ///
  /// - Throws: 74 when the folder cannot be written.
  package init(folder: String, key: String) throws {
    self.folder = folder
    self.key = key
    try createFolder(folder)
    // Files in it are removed, and what it holds becomes weights.
    guard isOwnFolder(folder) else {
      throw GristError(
        .inputOutput, "the folder for unfinished work is a link, or another user's", file: folder,
        advice: "remove it, or name another output")
    }
    guard try begun() != nil else {
      try empty()
      return
    }
    while fileKind(at: layerPath(layers)) == .file { layers += 1 }
    // A layer counts when its rows are there too.
    while layers > 0, fileKind(at: rowsPath(layers)) != .file { layers -= 1 }
  }

  private var beginningPath: String { joinPath(folder, "beginning") }
  private func layerPath(_ layer: Int) -> String { joinPath(folder, "layer-\(layer)") }
  private func rowsPath(_ layers: Int) -> String { joinPath(folder, "rows-\(layers)") }

  /// What stands before the first layer.
  struct Beginning {
    let summary: String
    let notes: [String]
    /// Rows of every prompt.
    let lengths: [Int]
    /// Statistics of the matrices before the decoder.
    let statistics: Bytes
  }

  func begun() throws -> Beginning? { try advising(readBeginning) }

  private func readBeginning() throws -> Beginning? {
    guard fileKind(at: beginningPath) == .file else { return nil }
    let file = try SafetensorsFile(path: beginningPath)
    try file.requireChecksum()
    guard let text = file.metadata.first(where: { $0.name == "beginning" })?.value else { return nil }
    let json = try JSONReader(locating(file: beginningPath) { try JSONValue.parse(text) }, file: beginningPath)
    guard try json.string("key") == key, let statistics = file.tensors.first else { return nil }
    return Beginning(
      summary: try json.string("summary"), notes: try json.strings("notes", default: []),
      lengths: try json.integers("lengths", in: 0...Int(Int32.max)), statistics: try statistics.bytes())
  }

  func begin(_ beginning: Beginning) throws {
    let json: JSONValue = [
      "key": JSONValue(key), "summary": JSONValue(beginning.summary), "notes": JSONValue(beginning.notes),
      "lengths": JSONValue(beginning.lengths),
    ]
    var writer = SafetensorsWriter(metadata: [("beginning", json.text())])
    try writer.add("statistics", .u8, shape: [beginning.statistics.count], bytes: beginning.statistics)
    // One that stopped before its first layer was finished begins again, though its beginning was read.
    removeIfPossible(beginningPath)
    try writeFile(beginningPath, writer.encodedWithChecksum)
  }

  /// Keeps a layer's matrices, and the rows that it leaves, [tokens, hidden size].
  func finish(_ matrices: [String: FinishedMatrix], rows: FloatMatrix) throws {
    var described: [JSONValue] = []
    var writer = SafetensorsWriter()
    for (name, matrix) in matrices.sorted(by: { $0.key < $1.key }) {
      for (index, run) in matrix.runs.enumerated() {
        try writer.add("\(name)/\(index)", .u8, shape: [run.count], bytes: run)
      }
      described.append([
        "name": JSONValue(name), "scheme": matrix.scheme.json, "shape": JSONValue(matrix.shape),
        "units": JSONValue(matrix.unitsPerRun), "runs": JSONValue(matrix.runs.count),
        "squared_error": JSONValue(matrix.error.squaredError), "squared_source": JSONValue(matrix.error.squaredSource),
        "lossless": JSONValue(matrix.error.isLossless),
        "worst_row": matrix.error.worstRow.map { JSONValue($0) } ?? .null,
      ])
    }
    writer.describe("matrices", JSONValue.array(described).text())
    try writeFile(layerPath(layers), writer.encodedWithChecksum)
    var after = SafetensorsWriter()
    try after.add("rows", .f32, shape: [rows.rows, rows.columns], bytes: rows.bytes)
    try writeFile(rowsPath(layers + 1), after.encodedWithChecksum)
    removeIfPossible(rowsPath(layers))
    layers += 1
  }

  /// The matrices of a finished layer.
  func matrices(ofLayer layer: Int) throws -> [String: FinishedMatrix] {
    try advising { try readMatrices(ofLayer: layer) }
  }

  private func readMatrices(ofLayer layer: Int) throws -> [String: FinishedMatrix] {
    let path = layerPath(layer)
    let file = try SafetensorsFile(path: path)
    try file.requireChecksum()
    guard let text = file.metadata.first(where: { $0.name == "matrices" })?.value,
      let described = try JSONValue.parse(text).array
    else { throw GristError(.badData, "not a finished layer", file: path) }
    let tensors = Dictionary(
      file.tensors.map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    var result: [String: FinishedMatrix] = [:]
    for value in described {
      let json = try JSONReader(value, file: path)
      let name = try json.string("name")
      var error = ErrorSums()
      error.squaredError = try json.double("squared_error")
      error.squaredSource = try json.double("squared_source")
      error.isLossless = try json.bool("lossless")
      error.worstRow = json.has("worst_row") ? try json.double("worst_row") : nil
      let runs = try (0..<json.integer("runs", in: 0...Int(Int32.max))).map { index in
        guard let run = tensors[ByteName("\(name)/\(index)")] else {
          throw GristError(
            .badData, "a finished layer lacks a part", file: path, tensor: name)
        }
        return try run.bytes()
      }
      result[name] = FinishedMatrix(
        scheme: try TensorScheme(json.object("scheme")), shape: try json.integers("shape", in: 0...Int.max), runs: runs,
        unitsPerRun: try json.integer("units", in: 1...Int.max), error: error)
    }
    return result
  }

  /// The rows that the last finished layer left; nil when none is finished.
  func rows() throws -> FloatMatrix? { try advising(readRows) }

  private func readRows() throws -> FloatMatrix? {
    guard layers > 0 else { return nil }
    let file = try SafetensorsFile(path: rowsPath(layers))
    try file.requireChecksum()
    guard let rows = file.tensors.first, rows.elementType == .f32, rows.shape.count == 2 else {
      throw GristError(.badData, "not the rows of a calibration", file: file.path)
    }
    return FloatMatrix(rows: rows.shape[0], columns: rows.shape[1], values: floats(try rows.bytes(), .f32))
  }

  /// What `body` gives; errors in files of this folder say what helps.
  private func advising<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch var error as GristError {
      error.advice = "remove \(folder) and begin again"
      throw error
    }
  }

  /// Whether a file of this name is written by this type: the beginning, a layer or rows, by number; or what a program
  /// that was killed left of one.
  private static func isOurs(_ given: String) -> Bool {
    let name = AtomicFile.nameOfOutput(leaving: given) ?? given
    guard name != "beginning" else { return true }
    let parts = name.split(atBytesOf: "-")
    guard parts.count == 2, ["layer", "rows"].contains(parts[0]), let number = Int(parts[1]) else { return false }
    return number >= 0 && String(number) == parts[1]
  }

  private func empty() throws {
    for name in try folderContents(folder) where Self.isOurs(name) { removeIfPossible(joinPath(folder, name)) }
  }

  /// Removes the folder, once what was calibrated stands in a file.
  package func remove() {
    try? empty()
    // Goes only when nothing else is in it.
    removeIfPossible(folder)
  }
}
