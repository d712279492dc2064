import Glibc

/// Memory whose last byte stands before a page that must not be touched, and whose first byte can be moved off any
/// alignment: a kernel that reads or writes a byte too far ends the test run.
final class GuardedMemory<Element> {
  private let mapping: UnsafeMutableRawPointer
  private let mappingBytes: Int
  let elements: UnsafeMutableBufferPointer<Element>

  /// `elements` end right before the guard page; there is one before the first page too.
  init(_ values: [Element]) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = values.count * MemoryLayout<Element>.stride
    let pages = (bytes + page - 1) / page + 2
    mappingBytes = pages * page
    mapping = mmap(nil, mappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    mprotect(mapping, page, PROT_NONE)
    mprotect(mapping + (pages - 1) * page, page, PROT_NONE)
    let start = mapping + ((pages - 1) * page - bytes)
    elements = UnsafeMutableBufferPointer(
      start: start.bindMemory(to: Element.self, capacity: values.count), count: values.count)
    _ = elements.initialize(from: values)
  }

  deinit { munmap(mapping, mappingBytes) }

  var base: UnsafeMutablePointer<Element> { elements.baseAddress! }
  var array: [Element] { Array(elements) }
}

/// Reproducible numbers.
struct TestGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// About normally distributed.
  mutating func normal() -> Float {
    (0..<6).reduce(Float(0)) { sum, _ in sum + Float.random(in: -1...1, using: &self) } / 1.4142135
  }

  mutating func normals(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }
}
