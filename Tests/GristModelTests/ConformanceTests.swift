import TestSupport
import Testing

@Suite("Full precision against upstream's own numbers") struct ConformanceTests {
  @Test("every case and granularity of the conformance kit")
  func conformanceKit() throws {
    try UpstreamCases(checkpoint: Fixtures.conformanceCheckpoint, images: Fixtures.conformanceImages).check()
  }
}
