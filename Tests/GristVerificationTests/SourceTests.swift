import GristCore
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

/// One model in the forms that Keras writes (Tools/reference/write_keras.py); the kit's own go through
/// Tools/hdf5/forms.py.
@Suite("One record, every source") struct SourceTests {
  static let forms: [(files: [String], map: String)] = [
    (["model.weights.h5"], "keras.map"), (["model.keras"], "keras.map"), (["legacy.h5"], "keras-legacy.map"),
  ]

  @Test("a record of safetensors verifies Keras's, choices and logits included", arguments: forms)
  func record(files: [String], map: String) throws {
    let original = Fixtures.path("checkpoints/four-choices")
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let probes = try [("china.jpg", "What is in the picture?"), (nil, "Good morning!")].map {
      try Question(imagePaths: [$0.0].compactMap { $0.map { Fixtures.conformanceImages + "/" + $0 } }, prompt: $0.1)
    }
    let source = try Source.open(path: original)
    let record = ReferenceRecord(
      fingerprint: try source.fingerprint(), source: source.path,
      cases: try source.model(compute: compute).record(probes, maxNewTokens: 4))
    let folder = try TemporaryFolder()
    for name in try folderContents(original) where !name.hasSuffix(".safetensors") {
      _ = try folder.copy(joinPath(original, name), to: name)
    }
    for file in files { _ = try folder.copy(Fixtures.path("keras/" + file), to: fileName(of: file)) }
    let keras = try Source.open(
      path: folder.path, options: SourceOptions(map: NameMap(path: Fixtures.path("keras/" + map))))
    #expect(try keras.fingerprint() == record.fingerprint)
    let report = try keras.verify(
      against: record, limits: VerificationLimits(tieMargin: 0, maximumMeanKL: 0), compute: compute)
    #expect(report.passed && report.largestLogitDifference == 0 && report.decided == 1)
  }
}
