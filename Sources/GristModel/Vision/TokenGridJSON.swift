import GristCore

extension TokenGrid {
  /// Sides of the picture, and of each area where its cells begin and end and the lines between them, in pixels.
  public var json: JSONValue {
    var object: JSONObject = ["width": JSONValue(width), "height": JSONValue(height)]
    if areas.count == 1, let area = areas.first {
      for (name, value) in area.json.members { object[name] = value }
    } else {
      object["areas"] = .array(areas.map { .object($0.json) })
    }
    return .object(object)
  }
}

extension TokenGrid.Area {
  fileprivate var json: JSONObject {
    func numbers(_ values: [Double]) -> JSONValue { .array(values.map { JSONValue($0) }) }
    return [
      "across": numbers([across.lowerBound, across.upperBound]),
      "down": numbers([down.lowerBound, down.upperBound]),
      "columns": numbers(columns), "rows": numbers(rows),
    ]
  }
}

// All of a grid, for those who keep it and read it again.

extension TokenGrid {
  package var kept: JSONValue {
    [
      "width": JSONValue(width), "height": JSONValue(height), "turned": JSONValue(isTurned),
      "areas": .array(areas.map { .object($0.json) }), "tile_columns": .array(tileColumns.map { JSONValue($0) }),
      "tile_rows": .array(tileRows.map { JSONValue($0) }),
    ]
  }

  /// Reads ``kept``.
  ///
  /// - Throws: 65 when a member is missing or none of its kind.
  package init(_ json: JSONReader) throws {
    let sides = 1...Int(Int32.max)
    self.init(
      width: try json.integer("width", in: sides), height: try json.integer("height", in: sides),
      isTurned: try json.bool("turned"), areas: try json.objects("areas").map { try Area($0) },
      tileColumns: try json.doubles("tile_columns"), tileRows: try json.doubles("tile_rows"))
  }
}

extension TokenGrid.Area {
  fileprivate init(_ json: JSONReader) throws {
    func extent(_ name: String) throws -> ClosedRange<Double> {
      let ends = try json.doubles(name)
      guard ends.count == 2, ends[0] <= ends[1] else { throw json.failure(name, "where it begins and ends") }
      return ends[0]...ends[1]
    }
    self.init(
      across: try extent("across"), down: try extent("down"), columns: try json.doubles("columns"),
      rows: try json.doubles("rows"))
  }
}

extension JSONReader {
  fileprivate func doubles(_ name: String) throws -> [Double] {
    let values = try array(name)
    let numbers = values.compactMap(\.double)
    guard numbers.count == values.count else { throw failure(name, "an array of numbers") }
    return numbers
  }
}
