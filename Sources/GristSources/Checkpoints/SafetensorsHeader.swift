import GristCore

/// A safetensors file's header without the file: what stands in it, in the order of the data.
package struct SafetensorsHeader: Sendable {
  package struct Tensor: Sendable {
    package let name: String
    package let elementType: ElementType
    package let shape: [Int]
  }

  package let tensors: [Tensor]

  /// - Parameter bytes: the length and the JSON.
  ///
  /// - Throws: 65 when that is no header, or the data that it tells of have gaps.
  package init(_ bytes: Bytes) throws {
    func failure(_ what: String) -> GristError { GristError(.badData, "no header of a safetensors file: \(what)") }
    guard let length = bytes.integer(at: 0, as: UInt64.self), length == UInt64(bytes.count - 8),
      let json = bytes.slice(8, bytes.count - 8), let object = try JSONValue.parse(json).object
    else { throw failure("another length") }
    var placed: [(start: Int, end: Int, tensor: Tensor)] = []
    for (name, value) in object.members where name != "__metadata__" {
      let entry = try JSONReader(value, file: "")
      guard let type = ElementType(rawValue: try entry.string("dtype").lowercased()) else { throw failure("a dtype") }
      let (shape, range) = (
        try entry.integers("shape", in: 0...Int.max), try entry.integers("data_offsets", in: 0...Int.max)
      )
      guard range.count == 2, range[0] <= range[1],
        elementCount(of: shape).flatMap({ type.byteCount(ofElements: $0) }) == range[1] - range[0]
      else { throw failure("a range") }
      placed.append((range[0], range[1], Tensor(name: name, elementType: type, shape: shape)))
    }
    placed.sort { ($0.start, $0.end) < ($1.start, $1.end) }
    var end = 0
    for place in placed {
      guard place.start == end else { throw failure("gaps") }
      end = place.end
    }
    tensors = placed.map(\.tensor)
  }
}
