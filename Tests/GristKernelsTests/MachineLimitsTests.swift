import CGristKernels
import GristKernels
import Testing

@Suite("The machine's limits") struct MachineLimitsTests {
  static let instructionSets = ["portable", "avx2", "avxvnni", "avx512", "avx512bf16", "neon"]

  @Test("every byte is read", arguments: instructionSets)
  func read(name: String) throws {
    guard let limits = grist_limits_named(name)?.pointee else { return }
    let count = 3 * 512 / 8
    let words = UnsafeMutableBufferPointer<UInt64>(
      start: UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 64).bindMemory(
        to: UInt64.self, capacity: count), count: count)
    defer { words.baseAddress.map { UnsafeMutableRawPointer($0).deallocate() } }
    var generator = TestGenerator(seed: 5)
    for index in words.indices { words.initializeElement(at: index, to: generator.next()) }
    for places in [1, 4] { #expect(limits.read(words.baseAddress, count * 8, places) == words.reduce(0, ^)) }
  }

  @Test("as many products are computed as are counted", arguments: instructionSets)
  func dot(name: String) throws {
    guard let limits = grist_limits_named(name)?.pointee else { return }
    for rounds in [0, 1, 1000] {
      let products = rounds * limits.operations_per_round / 2
      let sum = products * GRIST_LIMITS_WEIGHT * GRIST_LIMITS_ACTIVATION
      #expect(limits.dot(rounds) == UInt32(truncatingIfNeeded: sum))
    }
  }

  @Test("the chosen kernels have limits of their own")
  func chosen() {
    #expect(String(cString: grist_limits_of_kernels().pointee.name) == Compute.instructionSet)
    #expect(grist_limits_named("abacus") == nil)
  }

  @Test("a measurement gives rates")
  func measure() throws {
    let limits = MachineLimits.measure(pool: try ThreadPool(threads: 2), bufferBytes: 1 << 20, rounds: 1000, trials: 2)
    #expect(limits.memoryReadBytesPerSecond > 1e6)
    #expect(limits.int8OperationsPerSecond > 1e6)
  }
}
