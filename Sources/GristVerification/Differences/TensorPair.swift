import GristCore
import GristKernels
import GristSources

/// Two tensors of one shape, read together in pieces of whole rows, so that a quantized tensor's tiles are expanded once.
struct TensorPair: Sendable {
  private let tensors: (first: SourceTensor, second: SourceTensor)
  /// The first extent; 1 for a tensor of fewer than two.
  let rows: Int
  /// Elements of a row.
  let width: Int
  private static let elementsPerPiece = 1 << 20

  /// - Precondition: Both have the same shape, and elements of whole bytes.
  init(_ first: SourceTensor, _ second: SourceTensor) {
    precondition(first.shape == second.shape)
    tensors = (first, second)
    rows = max(first.shape.count >= 2 ? first.shape[0] : 1, 1)
    width = first.elementCount / rows
  }

  /// Bytes of some rows of the first.
  func first(_ rows: Range<Int>) throws -> Bytes { try bytes(of: tensors.first, rows) }
  /// Those of the second.
  func second(_ rows: Range<Int>) throws -> Bytes { try bytes(of: tensors.second, rows) }

  private func bytes(of tensor: SourceTensor, _ rows: Range<Int>) throws -> Bytes {
    let size = width * tensor.elementType.byteCount
    return try tensor.bytes(rows.lowerBound * size..<rows.upperBound * size)
  }

  /// What `body` makes of every piece, several at a time, in their order; the tensors' pages are given back then.
  ///
  /// - Throws: What `body` throws, 130 when the user interrupts.
  func map<Result: Sendable>(
    _ pool: ThreadPool, _ body: @Sendable (TensorPair, Range<Int>) throws -> Result
  ) throws -> [Result] {
    let rowsPerPiece = max(1, min(rows, Self.elementsPerPiece / max(width, 1) / 16 * 16))
    let results = try pool.map((rows + rowsPerPiece - 1) / rowsPerPiece) { piece in
      try Interruption.check()
      return try body(self, piece * rowsPerPiece..<min((piece + 1) * rowsPerPiece, rows))
    }
    tensors.second.release()
    tensors.first.release()
    return results
  }
}
