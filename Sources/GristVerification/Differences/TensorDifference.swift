import GristCore
import GristKernels
import GristSources
internal import RealModule

/// How far the values of two tensors of one shape lie apart, computed and summed in f64.
public struct TensorDifference: Sendable, Equatable {
  /// Whether every value is the same: bit for bit where both are of one type, else by its number; f32 and bf16 may hold
  /// the same.
  public let isEqual: Bool
  /// The largest |a − b|; NaN where a value that is no number meets one. Of types that are only kept, such as f8, all
  /// measures are NaN unless the bytes are the same.
  public let largest: Double
  /// ‖a − b‖ / ‖a‖; infinite where only `a` is all zeros.
  public let relativeError: Double
  /// (a · b) / (‖a‖ ‖b‖); 1 where both are all zeros.
  public let cosine: Double
  /// The row with the greatest relative error, and that; nil for a tensor without rows, and where no row differs.
  public let worstRow: Row?

  public struct Row: Sendable, Equatable {
    public let index: Int
    public let relativeError: Double
  }

  /// Compares in pieces, several at a time.
  ///
  /// - Precondition: Both have the same shape.
  /// - Throws: What reading the tensors throws, 130 when the user interrupts.
  init(_ a: SourceTensor, _ b: SourceTensor, _ pool: ThreadPool) throws {
    guard a.elementType.holdsNumbers, b.elementType.holdsNumbers else {
      isEqual = try a.elementType == b.elementType && a.bytes().elementsEqual(b.bytes())
      (largest, relativeError, cosine) = isEqual ? (0, 0, 1) : (.nan, .nan, .nan)
      worstRow = nil
      return
    }
    let (firstType, secondType) = (a.elementType, b.elementType)
    let pieces = try TensorPair(a, b).map(pool) { pair, rows in
      let bytes = try (pair.first(rows), pair.second(rows))
      var sums = Sums(firstType.numbers(in: bytes.0), secondType.numbers(in: bytes.1), rows: rows, width: pair.width)
      // Whole numbers beyond f64's, too.
      if firstType == secondType, !bytes.0.elementsEqual(bytes.1) { sums.isEqual = false }
      return sums
    }
    var sums = Sums()
    for piece in pieces { sums += piece }
    isEqual = sums.isEqual
    largest = sums.largest
    relativeError = Self.relative(sums.difference, to: sums.first)
    let norms = (sums.first * sums.second).squareRoot()
    cosine = norms > 0 ? sums.product / norms : (sums.first == sums.second ? 1 : 0)
    worstRow = a.shape.count >= 2 && sums.worst.relativeError > 0 ? sums.worst : nil
  }

  private static func relative(_ difference: Double, to first: Double) -> Double {
    difference == 0 ? 0 : first > 0 ? (difference / first).squareRoot() : (difference.isNaN ? .nan : .infinity)
  }

  /// What is added up.
  private struct Sums: Sendable {
    var isEqual = true
    var largest = 0.0
    /// Squares of a − b, of a and of b, and products of both.
    var difference = 0.0
    var first = 0.0
    var second = 0.0
    var product = 0.0
    var worst = Row(index: 0, relativeError: 0)

    init() {}

    /// Of some rows' values.
    init(_ a: [Double], _ b: [Double], rows: Range<Int>, width: Int) {
      for (place, row) in rows.enumerated() {
        var own = Sums()
        for index in place * width..<(place + 1) * width { own.add(a[index], b[index]) }
        own.worst = Row(index: row, relativeError: TensorDifference.relative(own.difference, to: own.first))
        self += own
      }
    }

    private mutating func add(_ a: Double, _ b: Double) {
      // Two that are no numbers are alike.
      if a == b || a.isNaN && b.isNaN {
        guard a.isFinite else { return }
      } else {
        isEqual = false
        let distance = abs(a - b)
        largest = largest.isNaN || distance.isNaN ? .nan : max(largest, distance)
        difference += distance * distance
      }
      first += a * a
      second += b * b
      product += a * b
    }

    static func += (sums: inout Sums, other: Sums) {
      sums.isEqual = sums.isEqual && other.isEqual
      sums.largest = sums.largest.isNaN || other.largest.isNaN ? .nan : max(sums.largest, other.largest)
      sums.difference += other.difference
      sums.first += other.first
      sums.second += other.second
      sums.product += other.product
      // What is no number is the worst there is.
      if !(other.worst.relativeError <= sums.worst.relativeError) { sums.worst = other.worst }
    }
  }
}

extension ElementType {
  /// Whether elements are whole bytes that hold a real or whole number, or a truth value.
  fileprivate var holdsNumbers: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: true
    default: false
    }
  }

  /// Elements of this type in f64; truth values as 0 and 1, whole numbers beyond 2^53 rounded. Zeros for a type that does
  /// not hold numbers.
  fileprivate func numbers(in bytes: Bytes) -> [Double] {
    func read<Value>(_ type: Value.Type, _ number: (Value) -> Double) -> [Double] {
      bytes.withUnsafeBytes { bytes in
        stride(from: 0, to: bytes.count, by: MemoryLayout<Value>.size).map {
          number(bytes.loadUnaligned(fromByteOffset: $0, as: Value.self))
        }
      }
    }
    switch self {
    case .f32, .f16, .bf16: return floats(bytes, self).map(Double.init)
    case .f64: return read(Double.self) { $0 }
    case .i8: return read(Int8.self, Double.init)
    case .i16: return read(Int16.self, Double.init)
    case .i32: return read(Int32.self, Double.init)
    case .i64: return read(Int64.self, Double.init)
    case .u8: return read(UInt8.self, Double.init)
    case .u16: return read(UInt16.self, Double.init)
    case .u32: return read(UInt32.self, Double.init)
    case .u64: return read(UInt64.self, Double.init)
    case .bool: return read(UInt8.self) { $0 == 0 ? 0 : 1 }
    default: return [Double](repeating: 0, count: bytes.count / byteCount)
    }
  }
}
