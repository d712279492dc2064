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
