import GristCore

/// One file of `torch.save` (torch 1.6 and later): a zip archive of pickled names and of storages as they are. Nothing
/// of it is run, and the storages are read where they lie.
struct TorchFile {
  static let endings = [".bin", ".pt", ".pth", ".ckpt"]

  let path: String
  let byteCount: Int
  let identity: FileIdentity
  let tensors: [SourceTensor]
  let notes: [String]

  static let pickleLimit = 64 << 20
  /// What torch before 1.6 wrote: a pickled number, then more pickles and the storages behind them.
  private static let oldMagic: [UInt8] = [
    0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
  ]

  /// - Throws: 66 when the file is not there; 65 with the offset of what is damaged, asks for more than tensors, or is
  ///   of a form that torch has not written since 1.6.
  init(path: String) throws {
    let file = try MappedFile(path: path)
    self.path = path
    byteCount = file.count
    identity = file.identity
    (tensors, notes) = try locating(file: path) { try Self.read(file) }
  }

  private static func read(_ file: MappedFile) throws -> (tensors: [SourceTensor], notes: [String]) {
    try requireArchive(file.bytes)
    let archive = try ZipDirectory(file)
    guard let pickled = archive.members.first(where: { isPickled($0.name) }) else {
      throw GristError(
        .badData, "the archive holds no data.pkl, and so no tensors of torch's", offset: 0,
        found: archive.members.first?.name)
    }
    let root = String(pickled.name.dropLast("data.pkl".utf8.count))
    guard archive.member(named: root + "constants.pkl") == nil else {
      throw GristError(
        .badData, "a program of TorchScript, not weights alone", offset: 0, found: root + "constants.pkl",
        advice: "save the model's state_dict()")
    }
    if let order = archive.member(named: root + "byteorder"),
      try archive.contents(of: order, limit: 64).utf8 != "little"
    {
      throw GristError(
        .badData, "the values are big-endian", offset: UInt64(order.range.lowerBound),
        advice: "save it on a little-endian machine")
    }
    let dictionary = try TorchDictionary(
      archive.contents(of: pickled, limit: pickleLimit), path: file.path, start: pickled.range.lowerBound)
    let members = Dictionary(
      archive.members.map { (ByteName($0.name), $0.range) }, uniquingKeysWith: { first, _ in first })
    let bytes = FileBytes(bytes: file.bytes, path: file.path) { offset, count in
      file.advise(.dontNeed, offset: offset, count: count)
    }
    let tensors = try dictionary.tensors.map { tensor in
      try locating(tensor: tensor.name) {
        guard let range = members[ByteName(root + "data/" + tensor.storage)] else {
          throw GristError(
            .badData, "the archive lacks the storage that holds the tensor's values", found: tensor.storage,
            advice: "fetch the file again")
        }
        return try Self.tensor(tensor, in: range, of: bytes)
      }
    }
    return (tensors, dictionary.notes)
  }

  private static func isPickled(_ name: String) -> Bool {
    let parts = name.split(atBytesOf: "/")
    return parts.last == "data.pkl" && parts.count <= 2
  }

  private static func requireArchive(_ bytes: Bytes) throws {
    if let start = bytes.slice(0, oldMagic.count), start.array == oldMagic {
      throw GristError(
        .badData, "a file in the form that torch wrote before 1.6", offset: 0,
        advice: "save it again: torch.save(torch.load(FILE, weights_only=True), FILE)")
    }
    guard let contents = FileContents(of: bytes), contents != .zip else { return }
    throw GristError(
      .badData, "not a file of torch.save", offset: 0, found: contents.name,
      advice: contents.advice ?? "name a file that torch.save wrote")
  }

  /// A tensor on its storage, which lies in the file at `range`.
  private static func tensor(
    _ tensor: TorchDictionary.Tensor, in range: Range<Int>, of file: FileBytes
  ) throws -> SourceTensor {
    let width = tensor.elementType.byteCount
    func refused(_ what: String, _ found: String) -> GristError {
      GristError(
        .badData, what, offset: UInt64(range.lowerBound), found: found, advice: "fetch the file again")
    }
    let held = range.count / width
    guard tensor.storageCount <= held else {
      throw refused("the storage is shorter than the tensor's names say", "\(held) of \(tensor.storageCount) values")
    }
    guard let layout = StridedLayout(shape: tensor.shape, strides: tensor.strides),
      layout.count == 0 || tensor.offset <= held && layout.reach <= held - tensor.offset
    else { throw refused("the tensor reaches beyond its storage", "\(tensor.shape) with strides \(tensor.strides)") }
    // A view may repeat what it shows; so far repeated, it is a bomb.
    guard layout.count <= max(16 * held, 1 << 24) else {
      throw refused("a tensor far larger than its storage", "\(tensor.shape) on \(held) values")
    }
    let start = range.lowerBound + (layout.count == 0 ? 0 : tensor.offset * width)
    let storage: any TensorStorage =
      layout.isContiguous
      ? MappedStorage(file: file, offset: start, count: layout.count * width)
      : StridedStorage(file: file, offset: start, layout: layout, width: width)
    guard
      let made = SourceTensor(
        name: tensor.name, elementType: tensor.elementType, shape: tensor.shape, file: file.path,
        offset: UInt64(start), storage: storage)
    else { throw refused("the shape is too large", "\(tensor.shape)") }
    return made
  }
}

/// Where the elements of a tensor lie in its storage.
struct StridedLayout {
  let shape: [Int]
  let strides: [Int]
  /// Elements of the tensor.
  let count: Int
  /// Elements of the storage from the tensor's first to its last.
  let reach: Int

  /// Nil where a number does not fit.
  init?(shape: [Int], strides: [Int]) {
    guard let count = elementCount(of: shape), shape.count == strides.count else { return nil }
    var last = 0
    for (extent, stride) in zip(shape, strides) where count > 0 {
      let (step, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflows) = last.addingReportingOverflow(step)
      guard stride >= 0, !overflow, !overflows, sum < Int.max else { return nil }
      last = sum
    }
    self.shape = shape
    self.strides = strides
    self.count = count
    reach = count == 0 ? 0 : last + 1
  }

  /// Whether the elements lie one behind the other.
  var isContiguous: Bool {
    var expected = 1
    for (extent, stride) in zip(shape, strides).reversed() where extent != 1 {
      if stride != expected { return false }
      expected *= extent
    }
    return true
  }

  /// Where the element lies that is `index`th in row-major order.
  func place(of index: Int) -> Int {
    var (rest, place) = (index, 0)
    for (extent, stride) in zip(shape, strides).reversed() {
      place += rest % extent * stride
      rest /= extent
    }
    return place
  }
}

/// A tensor whose elements do not lie one behind the other: a transposed matrix, some columns of one.
private struct StridedStorage: TensorStorage {
  let file: FileBytes
  /// Of the first element, in the file.
  let offset: Int
  let layout: StridedLayout
  /// Bytes of an element.
  let width: Int

  func bytes(_ range: Range<Int>) throws -> Bytes {
    guard let storage = file.bytes.slice(offset, layout.reach * width) else {
      throw GristError(.badData, "the data end beyond the file", offset: UInt64(offset))
    }
    guard !range.isEmpty else { return Bytes() }
    var gathered = [UInt8](repeating: 0, count: range.count)
    let row = max(layout.shape.last ?? 1, 1)
    let step = (layout.strides.last ?? 1) * width
    storage.withUnsafeBytes { storage in
      var (place, target) = (0, range.lowerBound)
      while target < range.upperBound {
        let (index, within) = target.quotientAndRemainder(dividingBy: width)
        if target == range.lowerBound || index % row == 0 && within == 0 { place = layout.place(of: index) * width }
        let count = min(width - within, range.upperBound - target)
        for byte in 0..<count { gathered[target - range.lowerBound + byte] = storage[place + within + byte] }
        target += count
        place += step
      }
    }
    return Bytes(gathered)
  }

  func release(_ range: Range<Int>) { file.release(offset, layout.reach * width) }
}
