import GristCore
import GristFormat

/// A name for the contents of a checkpoint, whatever files they are spread over: the SHA-256 of one line a tensor, in
/// the order of the names' UTF-8 bytes, each "NAME TYPE EXTENTS XXH3-128 of the bytes". It tells other weights apart;
/// it is no proof against someone who wants them to look the same. Tensors that the model does not compute with are no
/// part of it: some programs save them, and some do not.
package struct SourceFingerprint: Sendable {
  private var lines: [(name: String, line: String)] = []

  package init() {}

  /// Adds a tensor whose bytes have this XXH3-128, in hexadecimal.
  package mutating func add(_ tensor: SourceTensor, digits: String) {
    add(tensor.name, tensor.elementType, shape: tensor.shape, digits: digits)
  }

  /// Adds a tensor of this name, type and shape.
  package mutating func add(_ name: String, _ type: ElementType, shape: [Int], digits: String) {
    let extents = shape.map(String.init).joined(separator: "x")
    lines.append((name, "\(name) \(type.rawValue) \(extents) \(digits)\n"))
  }

  /// 64 hexadecimal digits.
  package var digits: String {
    let text = lines.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }.map(\.line).joined()
    return sha256(Bytes(Array(text.utf8)))
  }

  /// XXH3-128 of a tensor's bytes, read in pieces.
  ///
  /// - Throws: What reading the tensor throws.
  package static func digits(of tensor: SourceTensor) throws -> String {
    var hash = StreamingFingerprint()
    let step = 16 << 20
    var offset = 0
    while offset < tensor.byteCount {
      let end = min(offset + step, tensor.byteCount)
      hash.update(try tensor.bytes(offset..<end))
      offset = end
    }
    return hash.digits()
  }
}

extension Checkpoint {
  /// The checkpoint's fingerprint; reads all of it once.
  ///
  /// - Throws: What reading the tensors throws, 130 when the user interrupts.
  package func fingerprint() throws -> String {
    var fingerprint = SourceFingerprint()
    for tensor in tensors where tensor.origin.unused == nil {
      try Interruption.check()
      fingerprint.add(tensor, digits: try SourceFingerprint.digits(of: tensor))
      tensor.release()
    }
    return fingerprint.digits
  }
}
