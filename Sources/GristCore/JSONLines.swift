/// JSON documents, one a line.
package enum JSONLines {
  /// One line's document.
  ///
  /// - Parameters:
  ///   - line: without its end.
  ///   - path: of the file.
  ///   - number: of the line, from 1.
  ///
  /// - Throws: 65 with the line's number for a line that is no object.
  package static func reader(_ line: ArraySlice<UInt8>, path: String, number: Int) throws -> JSONReader {
    let place = "\(path), line \(number)"
    return try JSONReader(locating(file: place) { try JSONValue.parse(Bytes(Array(line))) }, file: place)
  }

  /// The lines of a file that is written line by line. What stands behind the last line's end was cut off while it was
  /// written, and is left out.
  ///
  /// - Throws: 66 when the file is not there, 74 when it cannot be read.
  package static func wholeLines(path: String) throws -> ArraySlice<ArraySlice<UInt8>> {
    try readFile(path, limit: 1 << 32).array.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast()
  }
}
