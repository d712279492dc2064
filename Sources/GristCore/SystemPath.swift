// A path is bytes, and need not be UTF-8; a `String` must be. Bytes that are none stand in a path as scalars of a
// private plane, one each, and become bytes again where the system is asked.

private let firstEscape: UInt32 = 0x10_f700

extension String {
  /// A path, or a name in a folder, as the system gives it.
  package init(systemPath bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    if let text = String(validating: bytes, as: UTF8.self), !text.holdsInvalidBytes {
      self = text
      return
    }
    var scalars = String.UnicodeScalarView()
    var rest = bytes[...]
    while let first = rest.first {
      let length = [1, 2, 3, 4].first { length in
        rest.count >= length && String(validating: rest.prefix(length), as: UTF8.self) != nil
      }
      if let length, let scalar = String(decoding: rest.prefix(length), as: UTF8.self).unicodeScalars.first,
        !scalar.isEscape
      {
        scalars.append(scalar)
        rest = rest.dropFirst(length)
      } else {
        if let escape = Unicode.Scalar(firstEscape + UInt32(first)) { scalars.append(escape) }
        rest = rest.dropFirst()
      }
    }
    self = String(scalars)
  }

  /// Whether the text came with bytes that are no UTF-8.
  package var holdsInvalidBytes: Bool { unicodeScalars.contains(where: \.isEscape) }

  /// Calls `body` with the path as the system wants it. The pointer must not be kept.
  ///
  /// - Throws: What `body` throws.
  package func withSystemPath<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    guard holdsInvalidBytes else { return try withCString(body) }
    var bytes: [CChar] = []
    for scalar in unicodeScalars {
      if scalar.isEscape {
        bytes.append(CChar(bitPattern: UInt8(scalar.value - firstEscape)))
      } else {
        bytes += String(scalar).utf8.map { CChar(bitPattern: $0) }
      }
    }
    bytes.append(0)
    return try bytes.withUnsafeBufferPointer { buffer in
      // It holds the terminator at least.
      guard let base = buffer.baseAddress else { return try "".withCString(body) }
      return try body(base)
    }
  }
}

extension Unicode.Scalar {
  /// Whether it stands for a byte that is no UTF-8.
  var isEscape: Bool { (firstEscape...firstEscape + 0xff).contains(value) }

  /// The byte that it stands for.
  var escapedByte: UInt8? { isEscape ? UInt8(value - firstEscape) : nil }
}

/// The program's arguments, its name first.
package func programArguments() -> [String] {
  (0..<Int(CommandLine.argc)).compactMap { index in
    CommandLine.unsafeArgv[index].map { argument in
      var bytes: [UInt8] = []
      var next = argument
      while next.pointee != 0 {
        bytes.append(UInt8(bitPattern: next.pointee))
        next += 1
      }
      return String(systemPath: bytes)
    }
  }
}
