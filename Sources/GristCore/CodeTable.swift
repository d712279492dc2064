/// What the sixteen codes of a 4-bit scheme stand for: int8 values in rising order, from −127 to 127.
public struct CodeTable: Sendable, Hashable {
  public let values: [Int8]

  /// Nil unless there are sixteen values, each greater than the one before, none −128.
  public init?(_ values: [Int]) {
    guard values.count == 16, zip(values, values.dropFirst()).allSatisfy({ $0 < $1 }),
      values.allSatisfy({ (-127...127).contains($0) })
    else { return nil }
    self.values = values.map { Int8($0) }
  }

  private init(known values: [Int8]) { self.values = values }

  /// Finer near zero, where weights are dense. Within −32…32 sums of four products with an int8 stay within 16 bits,
  /// which is what products cost least in where no instruction adds up bytes in 32 bits (AVX2). Of such tables
  /// `Tools/fidelity/code_table.py` found this one by search: what it leaves of weights that were turned is what the
  /// values of llama.cpp's IQ4_NL leave, which take all of int8, and less of others (`Docs/quantization.md`).
  public static let nonlinear = CodeTable(
    known: [-32, -24, -19, -15, -11, -8, -5, -2, 0, 3, 6, 9, 12, 16, 21, 28])
}
