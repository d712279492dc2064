import GristConversion
import GristCore
import GristFormat
import GristImaging
import GristKernels
import GristModel
import GristSources
import GristVerification
import TestSupport
import Testing

/// Where verification once took what is broken for what is right.
@Suite("Faults: verification") struct FaultTests {
  let folder: TemporaryFolder
  let compute: Compute

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2))
  }

  private func probes() throws -> [Question] {
    try [("flower_tiny.jpg", "Is it red?"), (nil, "Good morning!")].map {
      try Question(imagePaths: [$0.0].compactMap { $0.map { Fixtures.conformanceImages + "/" + $0 } }, prompt: $0.1)
    }
  }

  private func reference() throws -> ReferenceRecord {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    return ReferenceRecord(
      fingerprint: try source.fingerprint(), source: source.path,
      cases: try source.model(compute: compute).record(probes(), maxNewTokens: 3))
  }

  /// The conformance checkpoint with one value of one tensor replaced.
  private func damaged(_ name: String, _ value: Float, at position: Int = 0) throws -> String {
    let checkpoint = try canonicalCheckpoint(Fixtures.conformanceCheckpoint)
    var writer = SafetensorsWriter()
    for tensor in checkpoint.tensors {
      var values = floats(try tensor.bytes(), tensor.elementType)
      if tensor.name == name { values[position] = value }
      try writer.add(tensor.name, shape: tensor.shape, floats: values)
    }
    for file in checkpoint.sideFiles { try folder.write("damaged/" + file.name, file.bytes.array) }
    try folder.write("damaged/model.safetensors", writer.encoded.array)
    return folder.file("damaged")
  }

  private func converted(_ recipe: Recipe.Name, from path: String = Fixtures.conformanceCheckpoint) throws -> String {
    try GristVerificationTests.converted(
      path, recipe, to: folder.file("\(recipe.rawValue).grist"), packing: .raw, pool: compute.pool)
  }

  static let tower = "model.vision_tower.vision_tower.vision_model."

  /// Tensors that stay as they came, so that a value that is not finite gets into the file.
  static let places: [(tensor: String, part: String)] = [
    ("model.norm.weight", "final norm and head"),
    ("model.layers.0.input_layernorm.weight", "language layer 0"),
    ("model.layers.1.post_attention_layernorm.weight", "language layer 1"),
    (tower + "embeddings.position_embedding.weight", "the vision tower's embeddings"),
    (tower + "encoder.layers.1.layer_norm2.bias", "vision layer 1"),
    ("model.mm_projector.0.bias", "the projector"),
    ("model.image_newline", "the newline embedding"),
    ("model.router.merger.linear1.bias", "the router"),
    ("model.router.voter", "the router"),
  ]

  @Test(
    "Fault 2: a value that is not finite ends the work and is said to be where it arose", arguments: places,
    [Float.nan, .infinity, -.infinity])
  func notFinite(place: (tensor: String, part: String), value: Float) throws {
    let path = try converted(.int8, from: damaged(place.tensor, value))
    let model = try Source.open(path: path).model(compute: compute)
    let question = try probes()[0]
    do {
      let image = try model.encode(RGBImage(encoded: #require(question.pictures.first?.bytes), name: "flower_tiny.jpg"))
      let prompt = try model.prepare(Conversation(message: question.prompt, hasImage: true), image: image)
      _ = try model.answer(prompt, maxNewTokens: 2, sampler: Sampler())
      Issue.record("an answer from a model with \(value) in \(place.tensor)")
    } catch let error as GristError {
      #expect(error.code == .badData && error.reason == .valueNotFinite, "\(error)")
      #expect(error.what.contains(place.part), "\(error)")
      #expect(error.file == path)
    }
  }

  @Test("Fault 2: verify fails and names the part")
  func verifyNames() throws {
    let path = try converted(.int8, from: damaged("model.norm.weight", .nan))
    let report = try Source.open(path: path).verify(against: reference(), compute: compute)
    #expect(!report.passed)
    #expect(report.objections.contains { $0.contains("final norm and head") }, "\(report.objections)")
    #expect(report.cases.count == 2)
  }

  @Test("one value that is no number fails its own case, not those that go through with it")
  func failsAlone() throws {
    let record = try reference()
    let others = Set(record.cases[0].tokens + record.cases.flatMap(\.inputIDs))
    let token = try #require(record.cases[1].tokens.first { !others.contains($0) })
    let hidden = try Source.open(path: Fixtures.conformanceCheckpoint).configuration().hiddenSize
    let source = try Source.open(path: damaged("model.embed_tokens.weight", .nan, at: token * hidden))
    for budget in [nil, MemoryBudget.bytes(8 << 30)] {
      var options = Verification.Options()
      options.memoryBudget = budget
      let report = try Verification(source, against: .record(record), options: options, compute: compute).run()
      #expect(report.cases.map { $0.failure == nil } == [true, false])
    }
  }

  @Test("Fault 3: router logits that are not numbers agree with nothing", arguments: [true, false])
  func deadRouter(isReference: Bool) throws {
    let record = try reference()
    let cases = record.cases.map { item in
      ReferenceRecord.Case(
        question: item.question, inputIDs: item.inputIDs,
        decision: item.decision.map {
          RouterDecision(
            granularities: $0.choices[0].options, logits: $0.scores.map { _ in .nan },
            filterOrder: $0.filterOrder ?? [])
        }, granularity: item.granularity, sequenceLength: item.sequenceLength, tokens: item.tokens, logits: item.logits)
    }
    // Both sides dead: their first choices are the same, and still prove nothing.
    let dead = VerificationReport(
      model: .init(path: "m"), reference: .init(path: "r", kind: .record), limits: VerificationLimits(),
      cases: zip(record.cases, cases).map { good, bad in
        .init(
          reference: isReference ? bad : good, decision: isReference ? good.decision : bad.decision,
          divergences: good.logits.map { Divergence(reference: $0, model: $0.values) }, greedyMatch: good.tokens.count)
      })
    #expect(!dead.passed)
    #expect(dead.count(.agrees) == 0)
    #expect(
      dead.objections.contains { $0.contains(isReference ? "reference's own logits" : "model's router logits") },
      "\(dead.objections)")
  }

  @Test("Fault 3: logits of the reference that are not numbers")
  func deadReference() throws {
    let record = try reference()
    let item = record.cases[1]
    let broken = ReferenceRecord.Case(
      question: item.question, inputIDs: item.inputIDs, decision: nil, granularity: nil,
      sequenceLength: item.sequenceLength,
      tokens: item.tokens, logits: item.logits.map { KeptLogits($0.values.map { _ in .nan }) })
    let report = VerificationReport(
      model: .init(path: "m"), reference: .init(path: "r", kind: .record),
      limits: VerificationLimits(maximumMeanKL: .infinity),
      cases: [.init(reference: broken, decision: nil, divergences: [], greedyMatch: 0)])
    #expect(report.objections.contains { $0.contains("reference's own logits") }, "\(report.objections)")
  }

  @Test("Fault 4: a lossy file is refused as a reference, however it was repacked")
  func lossyReference() throws {
    let int4 = try converted(.int4)
    let repacked = try GristVerificationTests.converted(
      int4, .source, to: folder.file("repacked.grist"), packing: .raw, pool: compute.pool)
    #expect(try GristFile(path: repacked).manifest.provenance.lineage.map(\.recipe) == ["int4", "source"])
    for path in [int4, repacked, try converted(.bf16)] {
      let reference = try Source.open(path: path)
      #expect(reference.loss != nil)
      let error = #expect(throws: GristError.self) {
        _ = try Reference.open(path, model: Source.open(path: int4), asksQuestions: true)
      }
      #expect(error?.code == .badData && error?.advice?.contains("--allow-lossy-reference") == true)
      _ = try Reference.open(path, model: Source.open(path: int4), asksQuestions: true, allowsLoss: true)
    }
    #expect(try Source.open(path: int4).loss == "its weights went through int4")
    // What loses nothing stays a reference: the conformance checkpoint is f32.
    for recipe in [Recipe.Name.source, .f32] { #expect(try Source.open(path: converted(recipe)).loss == nil) }
  }

  @Test("Fault 4: a record says what its weights had lost, and every report against it does")
  func lossyRecord() throws {
    let model = try Source.open(path: converted(.int4))
    let record = ReferenceRecord(
      fingerprint: try model.fingerprint(), source: model.path, loss: model.loss,
      cases: try model.model(compute: compute).record([probes()[1]], maxNewTokens: 1))
    try folder.write("record", record.encoded().array)
    #expect(throws: GristError.self) {
      _ = try Reference.open(folder.file("record"), model: model, asksQuestions: false)
    }
    let reference = try Reference.open(folder.file("record"), model: model, asksQuestions: false, allowsLoss: true)
    let report = try Verification(model, against: reference, compute: compute).run()
    #expect(report.referenceLoss == "its weights went through int4")
    #expect(report.json["reference_loss"] == "its weights went through int4")
    #expect(report.html.contains("which has lost something itself"))
  }

  @Test("Fault 5: a quantized reference's own error is not held against the model")
  func quantizedReference() throws {
    let comparison = try WeightComparison(
      model: Source.open(path: converted(.int8)), reference: Source.open(path: converted(.int4All)),
      pool: compute.pool)
    #expect(comparison.rejected.isEmpty, "\(comparison.rejected.map(\.name))")
    #expect(comparison.tensors.count == 100)
  }

  @Test("Fault 7: a long limit costs nothing that the answer does not need")
  func longLimit() throws {
    let model = try Source.open(path: Fixtures.conformanceCheckpoint).model(compute: compute)
    let prompt = try model.prepare(Conversation(message: "Good morning!", hasImage: false), image: nil)
    let (short, long) = (try model.start(prompt, newTokens: 0), try model.start(prompt, newTokens: .max))
    // Beyond what either had room for from the start.
    for token in 0..<300 {
      try short.advance(token)
      try long.advance(token)
    }
    #expect(short.logits == long.logits)
  }

  @Test("two pictures of one name are two pictures")
  func picturesOfOneName() throws {
    let pictures = try ["flower_tiny.jpg", "china_portrait.jpg"].map {
      try readFile(Fixtures.conformanceImages + "/" + $0)
    }
    let model = try Source.open(path: Fixtures.conformanceCheckpoint).model(compute: compute)
    func logits(_ pictures: [Bytes]) throws -> [[Float]] {
      try model.record(
        pictures.map { Question(pictures: [.init(name: "a.jpg", bytes: $0)], prompt: "What?") }, maxNewTokens: 1
      ).map { $0.logits[0].values }
    }
    let both = try logits(pictures)
    #expect(both[0] != both[1])
    #expect(try both == [logits([pictures[0]])[0], logits([pictures[1]])[0]])
  }
}
