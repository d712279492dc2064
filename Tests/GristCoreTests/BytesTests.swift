import GristCore
import Testing

@Suite("Bytes") struct BytesTests {
  let bytes = Bytes([1, 2, 3, 4, 5])

  @Test("a slice inside is given")
  func inside() {
    #expect(bytes.slice(0, 5)?.array == [1, 2, 3, 4, 5])
    #expect(bytes.slice(1, 3)?.array == [2, 3, 4])
    #expect(bytes.slice(5, 0)?.array == [])
    #expect(bytes.slice(1, 3)?.slice(1, 2)?.array == [3, 4])
  }

  @Test(
    "a slice that is not all inside is nil",
    arguments: [
      (0, 6), (5, 1), (6, 0), (-1, 1), (0, -1), (Int.max, 1), (1, Int.max), (Int.max, Int.max), (Int.min, 0),
      (3, Int.min), (-1, Int.max),
    ])
  func outside(offset: Int, count: Int) {
    #expect(bytes.slice(offset, count)?.count == nil)
    // A slice must not see its parent's bytes either.
    #expect(
      bytes.slice(1, 2)?.slice(offset, count).map(\.count) == (offset == 0 && count <= 2 && count >= 0 ? count : nil))
  }

  @Test("integers are little-endian, need no alignment, and must be all inside")
  func integers() {
    #expect(bytes.integer(at: 1, as: UInt32.self) == 0x0504_0302)
    #expect(bytes.integer(at: 2, as: UInt32.self) == nil)
    #expect(bytes.integer(at: 4, as: UInt8.self) == 5)
    #expect(bytes.integer(at: 5, as: UInt8.self) == nil)
    #expect(bytes.integer(at: -1, as: UInt8.self) == nil)
    #expect(bytes.integer(at: .max, as: UInt64.self) == nil)
    #expect(Bytes().integer(at: 0, as: UInt8.self) == nil)
  }

  @Test("nothing at all is still bytes")
  func empty() {
    #expect(Bytes().count == 0)
    #expect(Bytes().array == [])
    #expect(Bytes().slice(0, 0)?.count == 0)
    #expect(Bytes().isAllZero)
    #expect(Bytes().utf8 == "")
    #expect(Bytes([]).elementsEqual(Bytes()))
  }

  @Test("comparison, zeros, text")
  func contents() {
    #expect(bytes.elementsEqual(Bytes([1, 2, 3, 4, 5])))
    #expect(!bytes.elementsEqual(Bytes([1, 2, 3, 4])))
    #expect(!bytes.elementsEqual(Bytes([1, 2, 3, 4, 6])))
    #expect(Bytes([0, 0]).isAllZero && !Bytes([0, 1]).isAllZero)
    #expect(Bytes([0xc3, 0xa9]).utf8 == "é")
    #expect(Bytes([0xc3]).utf8 == nil)
  }

  @Test("buffers are zeroed and aligned to 64 bytes")
  func buffers() {
    for count in [0, 1, 63, 64, 1000] {
      let buffer = AlignedBuffer(byteCount: count)
      #expect(buffer.bytes.isAllZero && buffer.bytes.count == count)
      buffer.withUnsafeMutableBytes { raw in
        #expect(UInt(bitPattern: raw.baseAddress) % 64 == 0)
      }
    }
  }
}

@Suite("Extents") struct ExtentTests {
  @Test("element counts")
  func counts() {
    #expect(elementCount(of: []) == 1)
    #expect(elementCount(of: [3, 4, 5]) == 60)
    #expect(elementCount(of: [3, 0, 5]) == 0)
    #expect(elementCount(of: [Int.max]) == Int.max)
  }

  @Test(
    "a count that overflows, or a negative extent, is nil",
    arguments: [
      [Int.max, 2], [1 << 32, 1 << 32], [1 << 31, 1 << 31, 4], [-1], [3, -1], [0, -1], [Int.min], [0, Int.max, 2],
      [Int.max, 2, 0],
    ])
  func overflow(shape: [Int]) {
    #expect(elementCount(of: shape) == nil)
  }

  @Test("rounding up")
  func roundedUp() {
    #expect(0.roundedUp(toMultipleOf: 64) == 0)
    #expect(1.roundedUp(toMultipleOf: 64) == 64)
    #expect(64.roundedUp(toMultipleOf: 64) == 64)
    #expect((Int.max - 63).roundedUp(toMultipleOf: 64) == Int.max - 63)
    #expect((Int.max - 62).roundedUp(toMultipleOf: 64) == nil)
    #expect(Int.max.roundedUp(toMultipleOf: 64) == nil)
  }
}

@Suite("Tile shapes") struct TileShapeTests {
  @Test("sizes of a tile, by hand")
  func sizes() throws {
    // 17 × 70 in int4, groups of 64: two tiles; columns padded to 72, two groups.
    let shape = try #require(TileShape(rows: 17, columns: 70, codes: .int4, groupSize: 64))
    #expect(shape.tiles == 2 && shape.paddedColumns == 72 && shape.groups == 2)
    #expect(shape.codeBytesPerTile == 72 * 16 / 2 && shape.scaleBytesPerTile == 2 * 16 * 2)
    #expect(shape.payloadBytes == 2 * (576 + 64))
    let row = try #require(TileShape(rows: 3, columns: 9, codes: .int8, groupSize: 32, tileRows: 1))
    #expect(row.tiles == 3 && row.codeBytesPerTile == 16 && row.scaleBytesPerTile == 2 && row.payloadBytes == 54)
    let codes = try #require(TileShape(rows: 16, columns: 1, codes: .int4, groupSize: 128))
    #expect(codes.codeBytesPerTile == 64 && codes.groups == 1)
  }

  @Test(
    "what the kernels do not know is nil",
    arguments: [
      (0, 8, 64, 16), (8, 0, 64, 16), (-1, 8, 64, 16), (8, 8, 16, 16), (8, 8, 0, 16), (8, 8, 256, 16), (8, 8, 64, 8),
      (8, 8, 64, 0),
    ])
  func unknown(rows: Int, columns: Int, groupSize: Int, tileRows: Int) {
    #expect(TileShape(rows: rows, columns: columns, codes: .int4, groupSize: groupSize, tileRows: tileRows) == nil)
  }

  @Test(
    "a payload that does not fit Int is nil",
    arguments: [(Int.max, 1), (1, Int.max), (1 << 31, 1 << 31), (Int.max - 15, 8), (1 << 60, 8), (1 << 58, 8)])
  func overflow(rows: Int, columns: Int) {
    for codes in CodeWidth.allCases {
      for tileRows in [1, 16] {
        let shape = TileShape(rows: rows, columns: columns, codes: codes, groupSize: 32, tileRows: tileRows)
        // Whatever is let through must have a size.
        #expect(shape.map { $0.payloadBytes > 0 } ?? true)
      }
    }
    #expect(TileShape(rows: rows, columns: columns, codes: .int8, groupSize: 32) == nil)
  }
}
