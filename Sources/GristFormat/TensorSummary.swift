import GristCore

/// Sizes of one tensor in a file.
public struct TensorSummary: Sendable {
  public let record: TensorRecord
  /// Before packing.
  public let payloadBytes: Int
  /// In the file.
  public let storedBytes: Int

  /// Nil when the tensor's scheme cannot hold its shape, which an open file has ruled out.
  public init?(_ record: TensorRecord, in file: GristFile) {
    guard let units = PayloadUnits(scheme: record.scheme, shape: record.shape) else { return nil }
    self.record = record
    payloadBytes = units.payloadBytes
    storedBytes = file.storedBytes(record.chunks)
  }

  /// Payload bits an element, padding and scales counted in, before packing; 0 for an empty tensor.
  public var bitsPerWeight: Double {
    guard let elements = elementCount(of: record.shape), elements > 0 else { return 0 }
    return Double(payloadBytes) * 8 / Double(elements)
  }
}
