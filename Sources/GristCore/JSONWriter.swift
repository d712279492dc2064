extension JSONValue {
  /// The document as text. Compact by default; `pretty` puts members on lines of their own, but keeps arrays of plain
  /// values on one line.
  public func text(pretty: Bool = false) -> String {
    var output = ""
    write(to: &output, indent: pretty ? 0 : nil)
    return output
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private func write(to output: inout String, indent: Int?) {
    switch self {
    case .null: output += "null"
    case .bool(let value): output += value ? "true" : "false"
    case .integer(let value): output += String(value)
    case .number(let value): output += value.isFinite ? value.description : "null"
    case .string(let value): Self.write(value, to: &output)
    case .array(let elements):
      let inner = elements.allSatisfy(\.isPlain) ? nil : indent
      Self.writeList("[", "]", elements.count, indent: inner, to: &output) { index, output in
        elements[index].write(to: &output, indent: inner.map { $0 + 1 })
      }
    case .object(let object):
      let members = object.members
      Self.writeList("{", "}", members.count, indent: indent, to: &output) { index, output in
        Self.write(members[index].name, to: &output)
        output += indent == nil ? ":" : ": "
        members[index].value.write(to: &output, indent: indent.map { $0 + 1 })
      }
    }
  }

  private static func writeList(
    _ open: String, _ close: String, _ count: Int, indent: Int?, to output: inout String,
    element: (Int, inout String) -> Void
  ) {
    output += open
    for index in 0..<count {
      if index > 0 { output += "," }
      if let indent { output += "\n" + String(repeating: "  ", count: indent + 1) }
      element(index, &output)
    }
    if let indent, count > 0 { output += "\n" + String(repeating: "  ", count: indent) }
    output += close
  }

  private static func write(_ string: String, to output: inout String) {
    output += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": output += "\\\""
      case "\\": output += "\\\\"
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
        let digits = String(scalar.value, radix: 16)
        output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: output.unicodeScalars.append(scalar)
      }
    }
    output += "\""
  }
}
