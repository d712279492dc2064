internal import CZlib
import GristCore

/// What is in a zip archive, as its central directory says (PKWARE's APPNOTE 6.3.10), with 64-bit sizes where there are
/// any. Only members that are stored as they are can be used: they are read in place, so that an archive cannot become
/// more than it is.
struct ZipDirectory {
  struct Member {
    let name: String
    /// Where its bytes lie in the archive.
    let range: Range<Int>
    fileprivate let checksum: UInt32
  }

  let path: String
  let members: [Member]
  private let bytes: Bytes

  private enum Signature {
    static let end: UInt32 = 0x0605_4b50
    static let locator64: UInt32 = 0x0706_4b50
    static let end64: UInt32 = 0x0606_4b50
    static let entry: UInt32 = 0x0201_4b50
    static let header: UInt32 = 0x0403_4b50
  }

  /// Bytes of the record that ends an archive, without its comment.
  private static let endLength = 22
  private static let greatestCount = 65_536

  /// - Throws: 65 with the offset of what does not fit: a directory that is missing or lies, members that are links,
  ///   encrypted, packed, doubled, on top of each other or not all there.
  init(_ file: MappedFile) throws {
    path = file.path
    bytes = file.bytes
    let reader = Reader(bytes: bytes, path: path)
    let end = try reader.findEnd()
    let (count, directory) = try reader.directory(endingBefore: end)
    guard count <= Self.greatestCount else {
      throw reader.failure("an archive of too many members", at: end, found: "\(count)")
    }
    var members: [Member] = []
    var names: Set<ByteName> = []
    var offset = directory.lowerBound
    for _ in 0..<count {
      let (member, next) = try reader.member(at: offset, directory: directory)
      guard names.insert(ByteName(member.name)).inserted else {
        throw reader.failure("two members of one name", at: offset, found: member.name)
      }
      members.append(member)
      offset = next
    }
    guard offset == directory.upperBound else {
      throw reader.failure("the archive's directory has another length than it says", at: offset)
    }
    let inOrder = members.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (first, second) in zip(inOrder, inOrder.dropFirst()) where first.range.upperBound > second.range.lowerBound {
      throw reader.failure("two members lie on top of each other", at: second.range.lowerBound, found: second.name)
    }
    self.members = members
  }

  func member(named name: String) -> Member? { members.first { $0.name == name } }

  /// - Throws: 65 when a member's bytes are not those that the archive was made of. Reads all of them.
  func check(_ member: Member) throws {
    let step = 16 << 20
    var sum: UInt = 0
    for start in stride(from: member.range.lowerBound, to: member.range.upperBound, by: step) {
      try Interruption.check()
      guard let piece = bytes.slice(start, min(step, member.range.upperBound - start)) else { break }
      sum = piece.withUnsafeBytes { crc32(sum, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32($0.count)) }
    }
    guard sum == UInt(member.checksum) else {
      throw GristError(
        .badData, "a member is damaged: its checksum is another", file: path, offset: UInt64(member.range.lowerBound),
        found: member.name, advice: "fetch the archive again")
    }
  }

  /// The bytes of a small member, checked.
  func contents(of member: Member, limit: Int) throws -> Bytes {
    guard member.range.count <= limit, let contents = bytes.slice(member.range.lowerBound, member.range.count) else {
      throw GristError(
        .badData, "a member is too long for what it is", file: path,
        found: "\(member.name), \(member.range.count) bytes")
    }
    try check(member)
    return contents
  }

  private struct Reader {
    let bytes: Bytes
    let path: String

    func failure(_ what: String, at offset: Int, found: String? = nil, advice: String = "fetch the archive again")
      -> GristError
    {
      GristError(.badData, what, file: path, offset: UInt64(offset), found: found, advice: advice)
    }

    private func integer<Integer: FixedWidthInteger>(_ offset: Int, _ type: Integer.Type) throws -> Int {
      guard let value = bytes.integer(at: offset, as: type), let number = Int(exactly: value) else {
        throw failure("the archive ends too early, or holds a number that makes no sense", at: offset)
      }
      return number
    }

    private func u16(_ offset: Int) throws -> Int { try integer(offset, UInt16.self) }
    private func u32(_ offset: Int) throws -> Int { try integer(offset, UInt32.self) }
    private func u64(_ offset: Int) throws -> Int { try integer(offset, UInt64.self) }

    /// The record at the end, behind which there is only its comment.
    func findEnd() throws -> Int {
      let last = bytes.count - ZipDirectory.endLength
      if last >= 0 {
        for offset in stride(from: last, through: max(0, last - Int(UInt16.max)), by: -1)
        where bytes.integer(at: offset, as: UInt32.self) == Signature.end {
          if try offset + ZipDirectory.endLength + u16(offset + 20) == bytes.count { return offset }
        }
      }
      throw failure("no zip archive, or a truncated one: its directory is not at the end", at: max(0, last))
    }

    /// How many members there are, and where the directory is that lists them.
    func directory(endingBefore end: Int) throws -> (count: Int, range: Range<Int>) {
      var (count, length, start) = (try u16(end + 10), try u32(end + 12), try u32(end + 16))
      var limit = end
      var disks = [try u16(end + 4), try u16(end + 6), try u16(end + 8) - count]
      let locator = end - 20
      if locator >= 0, bytes.integer(at: locator, as: UInt32.self) == Signature.locator64 {
        let end64 = try u64(locator + 8)
        guard end64 <= locator - 56, bytes.integer(at: end64, as: UInt32.self) == Signature.end64 else {
          throw failure("the archive's 64-bit directory is not where it should be", at: locator)
        }
        (count, length, start) = (try u64(end64 + 32), try u64(end64 + 40), try u64(end64 + 48))
        disks = [try u32(end64 + 16), try u32(end64 + 20), try u64(end64 + 24) - count]
        limit = end64
      }
      guard disks.allSatisfy({ $0 == 0 }) else { throw failure("an archive in several parts", at: end) }
      guard start <= limit, length == limit - start else {
        throw failure("the archive's directory is not where it should be", at: end, found: "byte \(start)")
      }
      return (count, start..<limit)
    }

    /// The member whose entry is at `offset`, and where the next entry is.
    func member(at offset: Int, directory: Range<Int>) throws -> (Member, next: Int) {
      guard directory.contains(offset), try u32(offset) == Int(Signature.entry) else {
        throw failure("the archive's directory lacks an entry", at: offset)
      }
      let lengths = (name: try u16(offset + 28), extra: try u16(offset + 30), comment: try u16(offset + 32))
      let extra = offset + 46 + lengths.name
      let next = extra + lengths.extra + lengths.comment
      guard next <= directory.upperBound, let name = bytes.slice(offset + 46, lengths.name)?.utf8, !name.isEmpty,
        name.utf8.first != UInt8(ascii: "/"), !name.utf8.contains(0),
        !name.split(atBytesOf: "/").contains("..")
      else { throw failure("a member's name makes no sense", at: offset) }
      let flags = try u16(offset + 8)
      let isLink = try u16(offset + 4) >> 8 == 3 && u32(offset + 38) >> 28 == 0xA
      guard !isLink, flags & 1 == 0 else {
        throw failure("a member that is \(isLink ? "a link" : "encrypted")", at: offset, found: name)
      }
      guard try u16(offset + 10) == 0 else {
        throw failure(
          "a member that is packed; Keras and torch write them as they are", at: offset, found: name,
          advice: "unpack the archive and convert its folder")
      }
      var sizes = [try u32(offset + 24), try u32(offset + 20), try u32(offset + 42)]
      try fillIn(&sizes, extra..<extra + lengths.extra)
      let range = try contents(at: sizes[2], count: sizes[0], name: name, before: directory.lowerBound)
      guard sizes[0] == sizes[1] else {
        throw failure("a member as it is that has two sizes", at: offset, found: "\(name): \(sizes[0]) and \(sizes[1])")
      }
      return (Member(name: name, range: range, checksum: UInt32(truncatingIfNeeded: try u32(offset + 16))), next)
    }

    /// Sizes and offset that do not fit in 32 bits are in a field of the entry's own, in this order.
    private func fillIn(_ sizes: inout [Int], _ extra: Range<Int>) throws {
      var field = extra.lowerBound
      while field + 4 <= extra.upperBound {
        let (kind, length) = (try u16(field), try u16(field + 2))
        guard field + 4 + length <= extra.upperBound else {
          throw failure("a member's entry ends too early", at: field)
        }
        if kind == 1 {
          var value = field + 4
          for index in sizes.indices where sizes[index] == Int(UInt32.max) {
            guard value + 8 <= field + 4 + length else { throw failure("a member's entry ends too early", at: field) }
            sizes[index] = try u64(value)
            value += 8
          }
        }
        field += 4 + length
      }
    }

    /// Where a member's bytes are, by the header before them.
    private func contents(at header: Int, count: Int, name: String, before limit: Int) throws -> Range<Int> {
      guard header <= limit - 30, try u32(header) == Int(Signature.header),
        bytes.slice(header + 30, try u16(header + 26))?.utf8 == name
      else { throw failure("a member is not where the archive's directory says", at: header, found: name) }
      let start = try header + 30 + u16(header + 26) + u16(header + 28)
      guard start <= limit, count <= limit - start else {
        throw failure("a member that is longer than the archive", at: header, found: "\(name), \(count) bytes")
      }
      return start..<start + count
    }
  }
}
