import GristConversion
import GristCore
import GristFormat
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

@Suite("Grids that are cropped otherwise") struct UnpaddingTests {
  @Test("a file keeps that unpadding is corrected, and asks its readers to know; references must do the same")
  func kept() throws {
    let folder = try TemporaryFolder()
    let compute = Compute(pool: try ThreadPool(threads: 2))
    let corrected = SourceOptions(configuration: ConfigurationOptions(correctsUnpadding: true))
    let checkpoint = Fixtures.conformanceCheckpoint
    var options = Conversion.Options()
    (options.recipe, options.calibration) = (.source, CalibrationMode.none)
    try Conversion(Source.open(path: checkpoint, options: corrected), options: options, pool: compute.pool)
      .run(to: AtomicFile(path: folder.file("m.grist"), kind: .grist))
    let model = try Source.open(path: folder.file("m.grist"))
    #expect(try model.configuration().vision?.unpadding == .byCells)
    #expect(model.file?.manifest.provenance.correctsUnpadding == true)
    #expect(try Source.open(path: checkpoint).configuration().vision?.unpadding == .truncates)
    // Said again, upstream's way comes back.
    let upstream = SourceOptions(configuration: ConfigurationOptions(correctsUnpadding: false))
    #expect(try Source.open(path: model.path, options: upstream).configuration().vision?.unpadding == .truncates)

    let questions = [
      try Question(imagePaths: [Fixtures.conformanceImages + "/flower_panorama.jpg"], prompt: "What is it?")
    ]
    var verification = Verification.Options()
    verification.maxNewTokens = 2
    func verify(_ reference: Reference) throws -> VerificationReport {
      try Verification(model, against: reference, questions: questions, options: verification, compute: compute).run()
    }
    // A checkpoint is asked as the file is.
    #expect(try verify(Reference.open(checkpoint, model: model, asksQuestions: true)).passed)
    var recording = Recording.Options()
    (recording.maxNewTokens, recording.triesCoarserArithmetic) = (2, false)
    func record(_ options: SourceOptions) throws -> Reference {
      let path = folder.file("r.record")
      let record = try Recording(
        Source.open(path: checkpoint, options: options), questions: questions, options: recording, compute: compute
      ).run()
      try AtomicFile(path: path, kind: .record).finish(with: record.encoded())
      return .record(try ReferenceRecord(path: path))
    }
    #expect(try verify(record(corrected)).passed)
    let error = #expect(throws: GristError.self) { try verify(record(SourceOptions())) }
    #expect(error?.code == .badData && error?.what.contains("crop grids") == true)
    let llama = #expect(throws: GristError.self) {
      try Source.open(path: Fixtures.path("huggingface/llava-5"), options: corrected)
    }
    #expect(llama?.code == .usage)
  }
}
