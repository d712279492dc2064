import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSources
import TestSupport
import Testing

@Suite("Quantization against the dense search of Tools/reference/write_quantization.py") struct OracleTests {
  /// Squared error over squared norm, as the oracle gives it.
  private func relativeSquaredError(_ tensor: SourceTensor, codes: CodeWidth, groupSize: Int) throws -> Double {
    let encoder = try TensorEncoder(
      tensor, scheme: .grouped(.init(codes: codes, groupSize: groupSize, layout: .tile16)))
    let ready = try encoder.scanned(encoder.scan(0..<encoder.units.count))
    let error = try ready.encode(0..<ready.units.count).error.relativeError
    return error * error
  }

  @Test("never worse than absmax, and all but the best a scale can do", arguments: CodeWidth.allCases)
  func nearBest(codes: CodeWidth) throws {
    let file = try SafetensorsFile(path: Fixtures.path("quantization/matrices.safetensors"))
    let tensors = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, $0) })
    let matrices = try #require(Fixtures.json("quantization/expected.json")["matrices"]?.array)
    #expect(matrices.count >= 20)
    var excess: [Double] = []
    for matrix in matrices {
      let name = try #require(matrix["name"]?.string)
      let tensor = try #require(tensors[name])
      for result in matrix["results"]?.array ?? [] where result["scheme"]?.string == codes.name {
        let groupSize = try #require(result["group"]?.integer)
        let found = try relativeSquaredError(tensor, codes: codes, groupSize: groupSize)
        let absmax = try #require(result["absmax_error"]?.double)
        let best = try #require(result["best_error"]?.double)
        // A constant is stored all but exactly; below 1e-7 (70 dB) nothing is gained by being closer.
        #expect(found <= absmax * 1.0001 + 1e-9, "\(name) groups of \(groupSize)")
        // The smallest matrices are ten groups; a single one whose best scale lies between two trials shows there.
        #expect(found <= best * 1.05 + 1e-7, "\(name) groups of \(groupSize)")
        if best > 1e-7 { excess.append(found / best - 1) }
      }
    }
    #expect(excess.reduce(0, +) / Double(excess.count) < 0.005)
  }
}
