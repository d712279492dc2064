import GristCore
import GristKernels
import GristSources

/// Where a model's weights come from: a checkpoint folder, a `.grist` file, or a mixture of both.
public protocol ParameterStore: Sendable {
  /// What the weights belong to: its small files and its configuration are the model's.
  var source: Source { get }

  /// What is found fault with when something is missing: the source's path, where nothing else is said.
  var path: String { get }

  /// A weight matrix [rows, columns]; extents beyond the second are flattened into the columns.
  ///
  /// - Throws: 65 when the tensor is missing, damaged or of another shape.
  func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights

  /// A table that is looked up by row.
  ///
  /// - Throws: 65 when the tensor is missing, damaged or of another shape.
  func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable

  /// All values of a small tensor, row-major.
  ///
  /// - Throws: 65 when the tensor is missing, damaged or of another length.
  func values(_ name: String, count: Int) throws -> [Float]

  /// Whether there is a tensor of that name.
  func has(_ name: String) -> Bool

  /// Whether a tensor, once it was had, is to be held until the model is closed; else it is had anew each time.
  func keeps(_ tensor: ExpectedTensor) -> Bool

  /// Says that a tensor will not be used again soon, so that pages it lies in can be given back.
  func release(_ name: String)
}

extension ParameterStore {
  public func release(_ name: String) {}

  public func keeps(_ tensor: ExpectedTensor) -> Bool { true }

  public var path: String { source.path }

  /// A weight matrix, by what is said of it.
  ///
  /// - Throws: As ``matrix(_:rows:columns:)``.
  public func matrix(_ tensor: ExpectedTensor) throws -> any LinearWeights {
    try matrix(tensor.name, rows: tensor.rows, columns: tensor.columns)
  }

  /// A table, by what is said of it.
  ///
  /// - Throws: As ``embedding(_:rows:columns:)``.
  public func embedding(_ tensor: ExpectedTensor) throws -> any EmbeddingTable {
    try embedding(tensor.name, rows: tensor.rows, columns: tensor.columns)
  }

  /// All values of a small tensor, by what is said of it.
  ///
  /// - Throws: As ``values(_:count:)``.
  public func values(_ tensor: ExpectedTensor) throws -> [Float] { try values(tensor.name, count: tensor.count) }
}

/// Weights that are another store's, but for what is told otherwise.
public protocol ParameterDecorator: ParameterStore {
  var base: any ParameterStore { get }
}

extension ParameterDecorator {
  public var source: Source { base.source }
  public var path: String { base.path }

  public func matrix(_ name: String, rows: Int, columns: Int) throws -> any LinearWeights {
    try base.matrix(name, rows: rows, columns: columns)
  }

  public func embedding(_ name: String, rows: Int, columns: Int) throws -> any EmbeddingTable {
    try base.embedding(name, rows: rows, columns: columns)
  }

  public func values(_ name: String, count: Int) throws -> [Float] { try base.values(name, count: count) }

  public func has(_ name: String) -> Bool { base.has(name) }

  public func keeps(_ tensor: ExpectedTensor) -> Bool { base.keeps(tensor) }

  public func release(_ name: String) { base.release(name) }
}

/// A table of vectors.
public protocol EmbeddingTable: Sendable {
  var rows: Int { get }
  /// Writes row `index` (in `0 ..< rows`) to `out`, which is one row long.
  ///
  /// - Throws: 65 when the row's chunk is damaged.
  func copyRow(_ index: Int, into out: UnsafeMutableBufferPointer<Float>) throws

  /// Calls ``copyRow(_:into:)`` for many rows, in whatever order it is cheapest: `place` gives the memory for the row
  /// that stands at an index of `rows`.
  ///
  /// - Throws: 65 when a row's chunk is damaged.
  func copyRows(_ rows: [Int], into place: (_ index: Int) -> UnsafeMutableBufferPointer<Float>) throws
}

extension EmbeddingTable {
  public func copyRows(_ rows: [Int], into place: (_ index: Int) -> UnsafeMutableBufferPointer<Float>) throws {
    for (index, row) in rows.enumerated() { try copyRow(row, into: place(index)) }
  }
}

/// A weight matrix used as a table.
package struct MatrixTable: EmbeddingTable {
  let weights: any LinearWeights
  package var rows: Int { weights.rows }

  package init(weights: any LinearWeights) { self.weights = weights }

  package func copyRow(_ index: Int, into out: UnsafeMutableBufferPointer<Float>) throws {
    guard let base = out.baseAddress else { return }
    weights.expand(index..<index + 1, into: base)
  }
}

extension ParameterStore {
  /// The error for a tensor the model needs and does not have.
  func missing(_ name: String) -> GristError {
    GristError(
      .badData, "the model needs a tensor that is not there", file: path, tensor: name,
      advice: TowerTensors.contains(name)
        ? "convert it with --vision-tower FOLDER if the tower was left out upstream" : "fetch the checkpoint again")
  }

  func wrongShape(_ name: String, expected: [Int], found: [Int]) -> GristError {
    GristError(
      .badData, "a tensor's shape is not what the configuration asks for", file: path, tensor: name,
      found: "\(found) instead of \(expected)")
  }
}
