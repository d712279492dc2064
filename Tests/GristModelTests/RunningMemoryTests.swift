import GristCore
import GristImaging
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

@Suite("What running takes") struct RunningMemoryTests {
  @Test(
    "weights are all but the table, a row of the cache is keys and values of every layer, a picture's rows its tiles'")
  func kit() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let memory = try #require(RunningMemory(source))
    let tensors = try source.tensors()
    let all = tensors.reduce(0) { $0 + $1.elementCount * 4 }
    let table = 1024 * 128 * 4
    // Layers behind the one whose features are taken, and the last norm, are never computed with.
    let unused = try source.configuration().expectedTensors.filter { $0.part == .unused }.reduce(0) {
      $0 + $1.count * 4
    }
    #expect(unused > 0 && memory.weightBytes == all - table - unused)
    // A checkpoint keeps f32: keys and values of two layers, 128 wide.
    #expect(memory.cacheBytesPerRow == 2 * 2 * 128 * 4)
    // Two by two tiles and the whole picture, and newlines behind 48 rows of cells.
    let model = try source.model(compute: Compute(pool: ThreadPool(threads: 2)))
    let pixels = [UInt8](repeating: 90, count: 384 * 384 * 3)
    let prompt = try model.prepare(
      Conversation(message: "Hi", hasImage: true),
      image: model.encode(RGBImage(width: 384, height: 384, pixels: pixels)),
      granularity: .uniform(576))
    #expect(memory.pictureRows == 2928 && prompt.sequenceLength - (prompt.inputIDs.count - 1) == 2928)
    #expect(memory.scratchBytes > 3 * 5 * 576 * 128 * 4)
  }

  @Test("a text-only model takes no rows for pictures; what cannot be run takes nothing")
  func others() throws {
    let text = try #require(try RunningMemory(Source.open(path: Fixtures.path("huggingface/mistral"))))
    #expect(text.pictureRows == 0 && text.weightBytes > 0)
    #expect(try RunningMemory(Source.open(path: Fixtures.path("keras-hub/clip"))) == nil)
  }
}
