import GristCore
import GristKernels
import GristSources

/// What flows into every matrix of a model: the second moments of its inputs in blocks of 64, gathered once on the
/// source's weights, for every recipe. Travels as a safetensors file; `Docs/quantization.md` says what they are for.
public struct InputStatistics: Sendable {
  /// The weights whose inputs these are.
  public let fingerprint: String
  /// What was fed through the model, for people.
  public let text: String
  /// Rows of prompts and answers that went through the language model.
  public let tokens: Int
  private let moments: [ByteName: [Float]]
  private let inputOf: [ByteName: ByteName]

  init(fingerprint: String, text: String, tokens: Int, observer: InputObserver) {
    self.fingerprint = fingerprint
    self.text = text
    self.tokens = tokens
    moments = observer.moments.mapValues(\.values)
    inputOf = observer.inputOf
  }

  /// Names of the matrices whose inputs are known.
  package var matrices: Set<ByteName> { Set(inputOf.keys) }

  /// Names of the matrices whose inputs are known, in order.
  public var matrixNames: [String] { matrices.map(\.text).sorted() }

  /// The error feedback for a matrix; nil when its inputs are not known.
  public func feedback(for name: String) -> ErrorFeedback? {
    inputOf[ByteName(name)].flatMap { moments[$0] }.flatMap { ErrorFeedback(moments: $0) }
  }

  fileprivate static let format = "gristmill-statistics"
  private static let version = "1"

  /// - Throws: 65 when moments do not fill whole blocks.
  public func encoded() throws -> Bytes {
    let document: JSONValue = [
      "fingerprint": JSONValue(fingerprint), "text": JSONValue(text), "tokens": JSONValue(tokens),
      "matrices": .array(
        inputOf.sorted { $0.key < $1.key }.map { ["name": JSONValue($0.key.text), "input": JSONValue($0.value.text)] }),
    ]
    var writer = SafetensorsWriter(metadata: [
      ("format", Self.format), ("version", Self.version), ("statistics", document.text()),
    ])
    for (name, values) in moments.sorted(by: { $0.key < $1.key }) {
      let block = Rotation.block
      try writer.add(name.text, shape: [values.count / block / block, block, block], floats: values)
    }
    return writer.encodedWithChecksum
  }

  /// Reads a file that ``encoded()`` made.
  ///
  /// - Throws: 66 when it is not there, 65 when it is none or a part is missing.
  public init(path: String) throws { try self.init(SafetensorsFile(path: path), path: path) }

  /// The same from bytes in memory, which `path` names for messages.
  init(_ bytes: Bytes, path: String) throws { try self.init(SafetensorsFile(bytes, path: path), path: path) }

  private init(_ file: SafetensorsFile, path: String) throws {
    func metadata(_ name: String) -> String? { file.metadata.first { $0.name == name }?.value }
    guard metadata("format") == Self.format, metadata("version") == Self.version, let text = metadata("statistics")
    else {
      throw GristError(
        .badData, "not statistics of a model's inputs that this version reads", file: path,
        advice: "make them with `gristmill calibrate`")
    }
    // Those of earlier versions have none.
    if file.hasChecksum {
      do {
        try file.requireChecksum()
      } catch var error as GristError {
        error.advice = "the statistics are damaged: calibrate again"
        throw error
      }
    }
    let json = try JSONReader(locating(file: path) { try JSONValue.parse(text) }, file: path)
    fingerprint = try json.string("fingerprint")
    self.text = try json.string("text")
    tokens = try json.integer("tokens", in: 0...Int.max)
    var moments: [ByteName: [Float]] = [:]
    for tensor in file.tensors {
      let block = Rotation.block
      guard tensor.elementType == .f32, tensor.shape.count == 3, tensor.shape.dropFirst() == [block, block] else {
        throw GristError(
          .badData, "moments must be f32 in blocks of \(block) × \(block)", file: path, tensor: tensor.name,
          offset: tensor.offset, found: "\(tensor.elementType.rawValue) \(tensor.shape)")
      }
      let values = floats(try tensor.bytes(), .f32)
      guard values.allSatisfy(\.isFinite) else {
        throw GristError(
          .badData, "a moment is not a finite number", file: path, tensor: tensor.name, offset: tensor.offset,
          advice: "calibrate again")
      }
      moments[ByteName(tensor.name)] = values
    }
    var inputOf: [ByteName: ByteName] = [:]
    for matrix in try json.objects("matrices") {
      let input = ByteName(try matrix.string("input"))
      guard moments[input] != nil else {
        throw GristError(.badData, "the statistics lack a matrix's moments", file: path, tensor: input.text)
      }
      inputOf[ByteName(try matrix.string("name"))] = input
    }
    self.moments = moments
    self.inputOf = inputOf
  }

  /// - Throws: 65 when these are of other weights than `fingerprint` names.
  public func require(fingerprint expected: String, path: String) throws {
    guard fingerprint == expected else {
      throw GristError(
        .badData, "the statistics were gathered on other weights", file: path,
        found: "fingerprint \(fingerprint.prefix(16))… instead of \(expected.prefix(16))…",
        advice: "calibrate the checkpoint that is converted")
    }
  }
}

extension OutputKind {
  /// Statistics of a model's inputs.
  public static let statistics = OutputKind(name: "a file of statistics", containing: InputStatistics.format)
}
