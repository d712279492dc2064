import GristCore

/// How a tensor's numbers are stored. Described field by field in the file, so that a reader can tell a scheme it does
/// not know from one it does, and say which.
public enum TensorScheme: Sendable, Equatable {
  /// Element by element, row-major, little-endian.
  case plain(ElementType)
  case grouped(GroupedScheme)
  /// One that this version cannot read. The tensor cannot be used; all else of its file can.
  case unknown(UnknownScheme)

  /// A scheme of a later version, or one that makes no sense.
  public struct UnknownScheme: Sendable, Equatable {
    /// As the file has it.
    public let json: JSONValue
    /// Why it cannot be read.
    private let why: GristError

    init(json: JSONValue, why: GristError) { (self.json, self.why) = (json, why) }

    public static func == (first: UnknownScheme, second: UnknownScheme) -> Bool { first.json == second.json }

    /// What using a tensor ends with, code 65.
    public func error(file: String, tensor: String) -> GristError {
      var error = why
      (error.file, error.tensor) = (file, tensor)
      return error
    }
  }

  /// Integer codes with one f16 scale per row and group of input columns.
  public struct GroupedScheme: Sendable, Equatable {
    public let codes: CodeWidth
    /// Input columns that share a scale.
    public let groupSize: Int
    public let layout: Layout
    /// Every scale counts 2^scaleExponent times: keeps f16 scales in range for very large or small weights.
    public let scaleExponent: Int
    /// What the codes stand for, and how columns were turned before they became codes. A table goes with codes that
    /// take one.
    public let coding: GroupCoding

    public enum Layout: String, Sendable {
      /// Tiles of 16 rows, for the matrix kernels.
      case tile16
      /// Row after row, for tables that are looked up by row.
      case row
    }

    public init(
      codes: CodeWidth, groupSize: Int, layout: Layout, scaleExponent: Int = 0, coding: GroupCoding = GroupCoding()
    ) {
      self.codes = codes
      self.groupSize = groupSize
      self.layout = layout
      self.scaleExponent = scaleExponent
      self.coding = coding
    }

    /// The same with other scales' range.
    public func with(scaleExponent: Int) -> GroupedScheme {
      GroupedScheme(
        codes: codes, groupSize: groupSize, layout: layout, scaleExponent: scaleExponent, coding: coding
      )
    }

    /// Whether both store codes in the same way, whatever their scales' range.
    public func isLike(_ other: GroupedScheme) -> Bool { with(scaleExponent: 0) == other.with(scaleExponent: 0) }

    /// 2^scaleExponent.
    public var multiplier: Float {
      Float(sign: .plus, exponent: scaleExponent, significand: 1)
    }

    /// Nil when the scheme cannot hold a matrix of this shape.
    package func shape(rows: Int, columns: Int) -> TileShape? {
      guard coding.rotation.fits(columns: columns), coding.table == nil || codes.takesTable else { return nil }
      return TileShape(
        rows: rows, columns: columns, codes: codes, groupSize: groupSize,
        tileRows: layout == .tile16 ? TileShape.kernelTileRows : 1)
    }
  }

  /// "int4 g64 table rotated", "bf16".
  public var name: String {
    switch self {
    case .plain(let type): type.rawValue
    case .unknown(let scheme): "unknown (\(scheme.json["kind"]?.string?.shortened() ?? "no kind"))"
    case .grouped(let scheme):
      "\(scheme.codes.name) g\(scheme.groupSize)" + (scheme.coding.table == nil ? "" : " table")
        + (scheme.coding.rotation == .none ? "" : " rotated")
    }
  }

  public var json: JSONValue {
    switch self {
    case .plain(let type): ["kind": "plain", "element": JSONValue(type.rawValue)]
    case .grouped(let scheme): .object(Self.members(of: scheme))
    case .unknown(let scheme): scheme.json
    }
  }

  private static func members(of scheme: GroupedScheme) -> JSONObject {
    var object: JSONObject = [
      "kind": "grouped", "bits": JSONValue(scheme.codes.bits),
      "codes": scheme.coding.table == nil ? "symmetric" : "table",
    ]
    if let table = scheme.coding.table { object["table"] = JSONValue(table.values.map { Int($0) }) }
    object["rotation"] = JSONValue(scheme.coding.rotation.rawValue)
    object["group_axis"] = 1
    object["group_size"] = JSONValue(scheme.groupSize)
    object["scale"] = "f16"
    object["scale_exponent"] = JSONValue(scheme.scaleExponent)
    object["layout"] = JSONValue(scheme.layout.rawValue)
    return object
  }

  /// The scheme that a file's manifest gives a tensor: whatever it is, the file can be read.
  init(stored json: JSONReader) {
    do {
      try self.init(json)
    } catch let error as GristError {
      self = .unknown(UnknownScheme(json: .object(json.object), why: error))
    } catch {
      self = .unknown(UnknownScheme(json: .object(json.object), why: GristError(.badData, "\(error)")))
    }
  }

  /// - Throws: 65 naming whatever this version does not know.
  public init(_ json: JSONReader) throws {
    func require(_ name: String, _ known: [String]) throws -> String {
      let value = try json.string(name)
      guard known.contains(value) else {
        throw GristError(
          .badData, "a storage scheme this version does not know: \"\(name)\"", file: json.file, found: value,
          advice: "use a newer gristmill")
      }
      return value
    }
    if try require("kind", ["plain", "grouped"]) == "plain" {
      try json.allow(only: ["kind", "element"])
      let name = try require("element", ElementType.allCases.map(\.rawValue))
      guard let type = ElementType(rawValue: name) else { throw json.failure("element", "an element type") }
      self = .plain(type)
      return
    }
    let hasTable = try require("codes", ["symmetric", "table"]) == "table"
    let names: Set<String> = [
      "kind", "bits", "codes", "rotation", "group_axis", "group_size", "scale", "scale_exponent", "layout",
    ]
    try json.allow(only: hasTable ? names.union(["table"]) : names)
    _ = try require("scale", ["f16"])
    guard let rotation = Rotation(rawValue: try require("rotation", Rotation.allCases.map(\.rawValue))) else {
      throw json.failure("rotation", "none or hadamard64")
    }
    let bits = try json.integer("bits", in: 1...64)
    let groupSize = try json.integer("group_size", in: 1...65_536)
    guard let codes = CodeWidth(rawValue: bits), codes.takesTable || !hasTable,
      TileShape.groupSizes.contains(groupSize),
      try json.integer("group_axis", in: 0...1) == 1
    else {
      throw GristError(
        .badData, "a storage scheme this version does not know", file: json.file,
        found: "\(bits) bits in groups of \(groupSize)", advice: "use a newer gristmill")
    }
    let layout = try require("layout", ["tile16", "row"])
    var table: CodeTable?
    if hasTable {
      table = CodeTable(try json.integers("table", in: -127...127))
      guard table != nil else { throw json.failure("table", "sixteen whole numbers in rising order") }
    }
    self = .grouped(
      GroupedScheme(
        codes: codes, groupSize: groupSize, layout: layout == "row" ? .row : .tile16,
        scaleExponent: try json.integer("scale_exponent", in: -120...120),
        coding: GroupCoding(table: table, rotation: rotation)))
  }
}

/// How a tensor's payload divides into units that are never cut: a tile, a row, an element.
public struct PayloadUnits: Sendable, Equatable {
  public let count: Int
  public let bytesPerUnit: Int
  public var payloadBytes: Int { count * bytesPerUnit }

  /// Nil when the scheme cannot hold the shape, or the payload does not fit `Int`.
  public init?(scheme: TensorScheme, shape: [Int]) {
    guard let elements = elementCount(of: shape) else { return nil }
    switch scheme {
    case .plain(let type):
      guard let bytes = type.byteCount(ofElements: elements) else { return nil }
      // Where elements are no whole bytes, a row may not be either: the unit is the byte.
      let rows = !type.isWholeBytes ? bytes : shape.count >= 2 ? shape[0] : elements
      count = elements == 0 ? 0 : rows
      bytesPerUnit = elements == 0 ? 0 : bytes / rows
    case .grouped(let grouped):
      guard let (rows, columns) = matrixExtents(shape), let tile = grouped.shape(rows: rows, columns: columns) else {
        return nil
      }
      count = tile.tiles
      bytesPerUnit = tile.bytesPerTile
    case .unknown: return nil
    }
  }

  /// Units to a chunk for a target in bytes; at least one.
  public func unitsPerChunk(target: Int) -> Int { max(1, target / max(bytesPerUnit, 1)) }
}

/// A tensor seen as a matrix: the first extent is the rows, all others together the columns. Nil for fewer than two
/// extents or an empty tensor.
public func matrixExtents(_ shape: [Int]) -> (rows: Int, columns: Int)? {
  guard shape.count >= 2, let elements = elementCount(of: shape), elements > 0 else { return nil }
  return (shape[0], elements / shape[0])
}
