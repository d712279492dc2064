import GristCore

/// One safetensors file, mapped, with every rule of the format checked before any tensor is handed out.
///
/// Layout: u64 header length, that many bytes of JSON (an object: name → dtype, shape, data_offsets, and optionally
/// `__metadata__`), then the data. Offsets count from the data's start; the tensors' ranges must fill it exactly,
/// without holes or overlaps. Source: the safetensors format description, and the checks of its reference parser.
public struct SafetensorsFile: Sendable {
  public let path: String
  /// In the order in which their data lies in the file.
  public let tensors: [SourceTensor]
  /// The strings of `__metadata__`.
  public let metadata: [(name: String, value: String)]
  /// The length word and the JSON, verbatim.
  public let header: Bytes
  public let byteCount: Int
  /// Which file it was when it was opened, and in which state; nil for one that was in memory.
  let identity: FileIdentity?

  /// The longest header the format allows.
  public static let headerLimit = 100_000_000

  /// - Throws: 66 when the file is not there, 65 with file, tensor and offset when it breaks a rule.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    try self.init(file.bytes, path: path, identity: file.identity) { offset, count in
      file.advise(.dontNeed, offset: offset, count: count)
    }
  }

  /// Parses a file that is in memory already; `path` is for messages.
  ///
  /// - Throws: 65 with the offset of what is damaged.
  public init(_ bytes: Bytes, path: String) throws {
    try self.init(bytes, path: path, identity: nil) { _, _ in }
  }

  private init(_ bytes: Bytes, path: String, identity: FileIdentity?, release: @escaping @Sendable (Int, Int) -> Void)
    throws
  {
    self.path = path
    byteCount = bytes.count
    self.identity = identity
    (header, tensors, metadata) = try locating(file: path) {
      try Self.parse(FileBytes(bytes: bytes, path: path, release: release))
    }
  }

  private static func parse(
    _ file: FileBytes
  ) throws -> (header: Bytes, tensors: [SourceTensor], metadata: [(name: String, value: String)]) {
    let bytes = file.bytes
    if let contents = FileContents(of: bytes), contents != .safetensors {
      throw GristError(
        .badData, "not a safetensors file", offset: 0, found: contents.name,
        advice: contents.advice ?? "name a safetensors file")
    }
    guard let length = bytes.integer(at: 0, as: UInt64.self) else {
      throw GristError(
        .badData, "too short for a safetensors header", offset: 0, found: "\(bytes.count) bytes",
        advice: "fetch the file again")
    }
    guard length <= UInt64(headerLimit) else {
      throw GristError(
        .badData, "the header is longer than the \(headerLimit) bytes that safetensors allows", offset: 0,
        found: "\(length) bytes", advice: "check that this is a safetensors file")
    }
    guard let json = bytes.slice(8, Int(length)), let header = bytes.slice(0, 8 + Int(length)) else {
      throw GristError(
        .badData, "the header ends beyond the file", offset: 0,
        found: "a header of \(length) bytes in a file of \(bytes.count)", advice: "fetch the file again")
    }
    guard json.integer(at: 0, as: UInt8.self) == UInt8(ascii: "{") else {
      throw GristError(
        .badData, "the header must start with '{'", offset: 8, advice: "check that this is a safetensors file")
    }
    var metadata: [(name: String, value: String)] = []
    let dataStart = header.count
    var tensors: [Placed] = []
    var broken: GristError?
    do {
      // An entry at a time: there may be many, and together they would be ten times as large as their text.
      try JSONValue.parseMembers(of: json) { name, value in
        guard broken == nil else { return }
        do {
          if name == "__metadata__" {
            // The reference parser takes null for none, and MLX writes it.
            metadata = value.isNull ? [] : try Self.metadata(value)
          } else {
            tensors.append(
              try locating(tensor: name) { try tensor(name, value, file: file, dataStart: dataStart) })
          }
        } catch let error as GristError {
          broken = error
        }
      }
    } catch var error as GristError {
      error.offset = error.offset.map { $0 + 8 }
      throw error
    }
    if let broken { throw broken }
    tensors.sort { ($0.start, $0.tensor.byteCount) < ($1.start, $1.tensor.byteCount) }
    try checkFill(tensors, dataStart: dataStart, fileLength: bytes.count)
    return (header, tensors.map(\.tensor), metadata)
  }

  /// A tensor, and where its data start in the file.
  private typealias Placed = (start: Int, tensor: SourceTensor)

  private static func metadata(_ value: JSONValue) throws -> [(name: String, value: String)] {
    guard let object = value.object else {
      throw GristError(.badData, "\"__metadata__\" must be an object of strings", offset: 8, found: value.kind)
    }
    return try object.members.map { name, value in
      guard let string = value.string else {
        throw GristError(
          .badData, "\"__metadata__\" must hold strings only", offset: 8, found: "\(value.kind) under \"\(name)\"")
      }
      return (name, string)
    }
  }

  private static let elementTypes = Dictionary(
    uniqueKeysWithValues: ElementType.allCases.map { ($0.rawValue.uppercased(), $0) })

  private static func tensor(
    _ name: String, _ value: JSONValue, file: FileBytes, dataStart: Int
  ) throws -> Placed {
    guard let object = value.object else {
      throw GristError(.badData, "a tensor's entry must be an object", offset: 8, found: value.kind)
    }
    // Other fields are passed over, as the reference parser passes over them.
    guard let dtype = object["dtype"]?.string else {
      throw GristError(.badData, "\"dtype\" must be a string", offset: 8, found: object["dtype"]?.text() ?? "nothing")
    }
    guard let elementType = elementTypes[dtype] else {
      throw GristError(
        .badData, "a dtype that is not supported", offset: 8, found: dtype,
        advice: "supported are " + elementTypes.keys.sorted().joined(separator: ", "))
    }
    let shape = try naturals(object["shape"], "shape")
    let range = try naturals(object["data_offsets"], "data_offsets")
    guard range.count == 2, range[0] <= range[1] else {
      throw GristError(
        .badData, "\"data_offsets\" must be a start and an end", offset: 8,
        found: object["data_offsets"]?.text() ?? "nothing")
    }
    guard range[1] <= file.bytes.count - dataStart else {
      throw GristError(
        .badData, "the data ends beyond the file", offset: UInt64(dataStart) + UInt64(range[0]),
        found: "an end at byte \(range[1]) of \(file.bytes.count - dataStart) bytes of data",
        advice: "the file is truncated or damaged: fetch it again")
    }
    let start = dataStart + range[0]
    let length = range[1] - range[0]
    guard
      let tensor = SourceTensor(
        name: name, elementType: elementType, shape: shape, file: file.path, offset: UInt64(start),
        storage: MappedStorage(file: file, offset: start, count: length))
    else {
      let isHalfByte = !elementType.isWholeBytes && elementCount(of: shape).map { $0 <= Int.max / 8 } ?? false
      throw GristError(
        .badData, isHalfByte ? "the elements do not end with a whole byte" : "the shape is too large", offset: 8,
        found: isHalfByte ? "\(dtype) \(shape)" : "\(shape)")
    }
    guard tensor.byteCount == length else {
      throw GristError(
        .badData, "shape and dtype do not fit the byte range", offset: UInt64(start),
        found: "\(dtype) \(shape) is \(tensor.byteCount) bytes, the range holds \(length)")
    }
    return (start, tensor)
  }

  private static func naturals(_ value: JSONValue?, _ field: String) throws -> [Int] {
    let integers = value?.array?.compactMap { element -> Int? in
      guard case .integer(let integer) = element, integer >= 0 else { return nil }
      return Int(exactly: integer)
    }
    guard let integers, integers.count == value?.array?.count else {
      throw GristError(
        .badData, "\"\(field)\" must be an array of whole numbers", offset: 8, found: value?.text() ?? "nothing")
    }
    return integers
  }

  private static func checkFill(_ tensors: [Placed], dataStart: Int, fileLength: Int) throws {
    var end = dataStart
    for (start, tensor) in tensors {
      guard start == end else {
        throw GristError(
          .badData, start < end ? "two tensors overlap" : "bytes before the tensor belong to none",
          tensor: tensor.name, offset: UInt64(start), found: "the data before it ends at byte \(end)")
      }
      end += tensor.byteCount
    }
    guard end == fileLength else {
      throw GristError(
        .badData, "bytes after the last tensor belong to none", offset: UInt64(end),
        found: "\(fileLength - end) bytes")
    }
  }
}

/// A file's bytes, and how to give the memory of a range back. All tensors of a file share one.
final class FileBytes: Sendable {
  let bytes: Bytes
  let path: String
  let release: @Sendable (_ offset: Int, _ count: Int) -> Void

  init(bytes: Bytes, path: String, release: @escaping @Sendable (_ offset: Int, _ count: Int) -> Void) {
    self.bytes = bytes
    self.path = path
    self.release = release
  }
}

/// A range of a file that is in memory.
struct MappedStorage: TensorStorage {
  let file: FileBytes
  let offset: Int
  let count: Int
  var isVerbatim: Bool { true }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    guard range.upperBound <= count, let slice = file.bytes.slice(offset + range.lowerBound, range.count) else {
      throw GristError(.badData, "the data ends beyond the file", offset: UInt64(offset))
    }
    return slice
  }

  func release(_ range: Range<Int>) { file.release(offset + range.lowerBound, range.count) }
}
