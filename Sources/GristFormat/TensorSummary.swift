import GristCore

/// Sizes of one tensor in a file.
public struct TensorSummary: Sendable {
  public let record: TensorRecord
  /// Before packing.
  public let payloadBytes: Int
  /// In the file.
  public let storedBytes: Int

  public init(_ record: TensorRecord, in file: GristFile) {
    self.record = record
    payloadBytes = record.runs.reduce(0) { $0 + file.payloadBytes($1) }
    storedBytes = record.runs.reduce(0) { $0 + file.storedBytes($1) }
  }

  /// Payload bits an element, padding and scales counted in, before packing; 0 for an empty tensor.
  public var bitsPerWeight: Double {
    guard let elements = elementCount(of: record.shape), elements > 0 else { return 0 }
    return Double(payloadBytes) * 8 / Double(elements)
  }
}
