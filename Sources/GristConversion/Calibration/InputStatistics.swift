import GristCore
import GristKernels
import GristModel
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
  /// Of all samples, or of a part of them what was not joined yet.
  private let moments: [ByteName: MomentTree]
  private let inputOf: [ByteName: ByteName]
  /// Which part of the samples went through; nil for all.
  public let part: Part?

  /// That statistics are one of several parts, and of which samples.
  public struct Part: Sendable, Equatable {
    public let part: QuestionPart
    /// SHA-256 of all samples, 64 hexadecimal digits.
    public let samples: String
  }

  init(
    fingerprint: String, text: String, tokens: Int, observer: InputObserver, runs: Range<Int>, part: Part? = nil
  ) {
    self.init(
      fingerprint: fingerprint, text: text, tokens: tokens, moments: observer.trees(of: runs),
      inputOf: observer.inputOf, part: part)
  }

  private init(
    fingerprint: String, text: String, tokens: Int, moments: [ByteName: MomentTree], inputOf: [ByteName: ByteName],
    part: Part?
  ) {
    (self.fingerprint, self.text, self.tokens) = (fingerprint, text, tokens)
    (self.moments, self.inputOf, self.part) = (moments, inputOf, part)
  }

  /// Names of the matrices whose inputs are known.
  package var matrices: Set<ByteName> { Set(inputOf.keys) }

  /// Names of the matrices whose inputs are known, in order.
  public var matrixNames: [String] { matrices.map(\.text).sorted() }

  /// The error feedback for a matrix; nil when its inputs are not known.
  public func feedback(for name: String) -> ErrorFeedback? {
    inputOf[ByteName(name)].flatMap { moments[$0]?.root }.flatMap { ErrorFeedback(moments: $0) }
  }

  fileprivate static let format = "gristmill-statistics"
  private static let version = "1"

  /// - Throws: 65 when moments do not fill whole blocks.
  public func encoded() throws -> Bytes {
    var document: JSONObject = [
      "fingerprint": JSONValue(fingerprint), "text": JSONValue(text), "tokens": JSONValue(tokens),
      "matrices": .array(
        inputOf.sorted { $0.key < $1.key }.map { ["name": JSONValue($0.key.text), "input": JSONValue($0.value.text)] }),
    ]
    if let part {
      document["part"] = [
        "index": JSONValue(part.part.index), "of": JSONValue(part.part.count), "samples": JSONValue(part.samples),
      ]
    }
    var writer = SafetensorsWriter(metadata: [
      ("format", Self.format), ("version", Self.version), ("statistics", JSONValue.object(document).text()),
    ])
    for (name, tree) in moments.sorted(by: { $0.key < $1.key }) {
      for (place, values) in tree.sums.sorted(by: { $0.key < $1.key }) {
        let block = Rotation.block
        let place = part == nil ? "" : "@\(place.level).\(place.index)"
        try writer.add(name.text + place, shape: [values.count / block / block, block, block], floats: values)
      }
    }
    return writer.encodedWithChecksum
  }

  /// Reads a file that ``encoded()`` made.
  ///
  /// - Throws: 66 when it is not there, 65 when it is none or a part is missing.
  public init(path: String) throws { try self.init(SafetensorsFile(path: path), path: path) }

  /// Whether there are statistics at `path`, not something else in a file of the same kind.
  public static func isThere(at path: String) -> Bool {
    guard fileKind(at: path) == .file, let file = try? SafetensorsFile(path: path) else { return false }
    return file.metadata.contains { $0.name == "format" && $0.value == format }
  }

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
    part = json.has("part") ? try Part(json.object("part")) : nil
    var moments: [ByteName: [MomentTree.Place: [Float]]] = [:]
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
      let (name, place) = try Self.place(tensor.name, isPart: part != nil, file: path)
      moments[ByteName(name), default: [:]][place] = values
    }
    var inputOf: [ByteName: ByteName] = [:]
    for matrix in try json.objects("matrices") {
      let input = ByteName(try matrix.string("input"))
      guard moments[input] != nil else {
        throw GristError(.badData, "the statistics lack a matrix's moments", file: path, tensor: input.text)
      }
      inputOf[ByteName(try matrix.string("name"))] = input
    }
    self.moments = moments.mapValues { MomentTree($0) }
    self.inputOf = inputOf
  }

  /// An input's name, and where in the tree a part's sums of it stand.
  private static func place(
    _ tensor: String, isPart: Bool, file: String
  ) throws -> (name: String, place: MomentTree.Place) {
    guard isPart else { return (tensor, .root) }
    let pieces = tensor.split(atBytesOf: "@")
    let numbers = (pieces.last ?? "").split(atBytesOf: ".").map { Int($0) }
    guard pieces.count == 2, numbers.count == 2, let level = numbers[0], let index = numbers[1],
      let place = MomentTree.Place(level, index)
    else { throw GristError(.badData, "a part's sums have no place", file: file, tensor: tensor) }
    return (pieces[0], place)
  }

  /// The statistics that gathering all samples at once would have given, byte for byte.
  ///
  /// - Parameter parts: every part once, in any order, each with the file it came from, for messages.
  ///
  /// - Throws: 65 for statistics that are no parts, are of different samples or weights, come twice, or are not all there.
  public static func merged(_ parts: [(statistics: InputStatistics, path: String)]) throws -> InputStatistics {
    guard let first = parts.first, let whole = first.statistics.part else {
      throw GristError(
        .badData, "the statistics are no part of others", file: parts.first?.path,
        advice: "make parts with `calibrate --part K/N`")
    }
    var seen: [Int: String] = [:]
    var trees: [ByteName: [MomentTree.Place: [Float]]] = [:]
    var inputOf: [ByteName: ByteName] = [:]
    var tokens = 0
    for (statistics, path) in parts {
      guard let part = statistics.part, part.samples == whole.samples, part.part.count == whole.part.count,
        statistics.fingerprint == first.statistics.fingerprint, statistics.text == first.statistics.text
      else {
        throw GristError(
          .badData, "the parts do not belong together: they are of different samples, weights or numbers of parts",
          file: path)
      }
      if let other = seen.updateValue(path, forKey: part.part.index) {
        throw GristError(.badData, "part \(part.part) comes twice", file: path, found: other)
      }
      for (name, tree) in statistics.moments { trees[name, default: [:]].merge(tree.sums) { first, _ in first } }
      inputOf.merge(statistics.inputOf) { first, _ in first }
      tokens += statistics.tokens
    }
    if let missing = (1...whole.part.count).first(where: { seen[$0] == nil }) {
      throw GristError(.badData, "part \(missing)/\(whole.part.count) is missing", file: first.path)
    }
    return InputStatistics(
      fingerprint: first.statistics.fingerprint, text: first.statistics.text, tokens: tokens,
      moments: trees.mapValues { sums in
        var tree = MomentTree(sums)
        tree.join(within: 0..<MomentTree.leaves)
        return tree
      }, inputOf: inputOf, part: nil)
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

extension InputStatistics.Part {
  fileprivate init(_ json: JSONReader) throws {
    let (index, count) = try (
      json.integer("index", in: 1...MomentTree.leaves), json.integer("of", in: 1...MomentTree.leaves)
    )
    guard let part = QuestionPart(index: index, count: count) else {
      throw json.failure("index", "no more than \(count)")
    }
    self.init(part: part, samples: try json.string("samples"))
  }
}

extension OutputKind {
  /// Statistics of a model's inputs.
  public static let statistics = OutputKind(name: "a file of statistics", containing: InputStatistics.format)
}
