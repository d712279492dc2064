import Glibc
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

@Suite("Verification") struct VerificationTests {
  let folder: TemporaryFolder
  let compute: Compute
  let reference: ReferenceRecord

  init() throws {
    folder = try TemporaryFolder()
    compute = Compute(pool: try ThreadPool(threads: 2))
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    reference = ReferenceRecord(
      fingerprint: try source.fingerprint(), source: source.path,
      cases: try source.model(compute: compute).record(Self.probes(), maxNewTokens: 6))
  }

  static func probes() throws -> [Question] {
    try [("china.jpg", "What is in the picture?"), ("flower_tiny.jpg", "Is it red?"), (nil, "Good morning!")].map {
      try Question(imagePaths: [$0.0].compactMap { $0.map { Fixtures.conformanceImages + "/" + $0 } }, prompt: $0.1)
    }
  }

  /// Converts the conformance checkpoint, or another folder.
  func converted(_ recipe: Recipe.Name, from path: String = Fixtures.conformanceCheckpoint) throws -> String {
    try GristVerificationTests.converted(
      path, recipe, to: folder.file("\(recipe.rawValue).grist"), packing: .zstd, pool: compute.pool)
  }

  func plan(_ recipe: Recipe.Name) throws -> ConversionPlan {
    try ConversionPlan(Source.open(path: Fixtures.conformanceCheckpoint), recipe: Recipe(recipe))
  }

  func verify(_ path: String, limits: VerificationLimits = VerificationLimits()) throws -> VerificationReport {
    try Source.open(path: path).verify(against: reference, limits: limits, compute: compute)
  }

  @Test("the report shows every picture once, with the cells of the model's choice over it for every question")
  func pictures() throws {
    let model = try Source.open(path: Fixtures.conformanceCheckpoint)
    let asked = try Self.probes() + [Self.probes()[0]]
    let record = ReferenceRecord(
      fingerprint: try model.fingerprint(), source: model.path,
      cases: try model.model(compute: compute).record(asked, maxNewTokens: 1))
    let report = try model.verify(against: record, compute: compute)
    #expect(report.cases.map { $0.grid == nil } == [false, false, true, false])
    let page = report.html
    func count(_ text: String) -> Int { page.ranges(of: text).count }
    #expect(count("url(data:image/jpeg;base64,/9j/") == 2 && count("<svg class=\"picture picture1\"") == 2)
    #expect(count("<svg class=\"picture picture2\"") == 1)
    let grid = try #require(report.cases[0].grid?.areas.first)
    #expect(count("in \(grid.columns.count + 1) × \(grid.rows.count + 1) cells\"") == 2)
  }

  @Test("the model's answer in a report is the one that it gives by itself")
  func answers() throws {
    let path = try tampered { $0.name == "model.layers.1.mlp.down_proj.weight" ? try scaled($0, by: 3) : nil }
    let source = try Source.open(path: converted(.int4All, from: path))
    let model = try source.model(compute: compute)
    let report = try source.verify(
      against: ReferenceRecord(fingerprint: source.fingerprint(), source: "r", cases: reference.cases),
      compute: compute)
    #expect(report.cases.contains { $0.greedyMatch < $0.reference.tokens.count })
    for item in report.cases {
      let question = item.reference.question
      let image = try question.pictures.first.map { try model.encode(RGBImage(encoded: $0.bytes, name: "picture")) }
      let prompt = try model.prepare(
        Conversation(message: question.prompt, hasImage: image != nil), image: image,
        granularity: item.reference.granularity)
      let own = try model.answer(
        prompt, maxNewTokens: item.reference.tokens.count, sampler: Sampler(temperature: 0, topP: 1, seed: 0))
      #expect(item.answers?.model == own.text)
      let expected = item.reference.tokens.filter { !model.endTokens.contains($0) }
      #expect(try item.answers?.reference == model.tokenizer.decode(expected))
    }
  }

  @Test("the page says when, with what and of which weights, and shows the worst case first")
  func page() throws {
    let path = try converted(.int4)
    var report = try verify(path)
    #expect(report.model.kind == .file && report.model.recipe == "int4" && report.reference.kind == .record)
    #expect(report.model.byteCount == (try readFile(path).count) && report.model.fingerprint == reference.fingerprint)
    #expect(report.date.hasSuffix("Z") && report.arithmetic.hasSuffix("int8 activations"))
    let order = report.cases.sorted { $0.kl.mean > $1.kl.mean }.map(\.reference.question.prompt)
    #expect(order != report.cases.map(\.reference.question.prompt))
    let page = report.html
    let places = try order.map { try #require(page.range(of: "<p class=\"question\">" + $0)?.lowerBound) }
    #expect(places == places.sorted())
    #expect(
      page.contains(report.date) && page.contains("recipe int4, against <b>small-f32</b>, a record of its answers"))
    #expect(page.contains("Both were made from the weights of fingerprint <code>\(reference.fingerprint)</code>"))
    report = try Verification(
      Source.open(path: path), against: .model(Source.open(path: Fixtures.conformanceCheckpoint)),
      questions: [Self.probes()[2]], compute: compute
    ).run()
    #expect(report.reference.kind == .checkpoint && report.reference.fingerprint == reference.fingerprint)
    #expect(report.html.contains("a checkpoint of 3.77 MB") && report.json["reference_side"]?["kind"] == "checkpoint")
  }

  @Test("the source recipe differs in nothing")
  func sourceIsExact() throws {
    let report = try verify(converted(.source), limits: VerificationLimits(tieMargin: 0, maximumMeanKL: 0))
    #expect(report.passed)
    #expect(report.largestLogitDifference == 0)
    #expect(report.top1Agreement == 1)
    #expect(report.cases.allSatisfy { $0.greedyMatch == $0.reference.tokens.count })
    #expect(report.decided == 2)
    #expect(report.count(.none) == 1)
  }

  @Test("int8 passes")
  func int8Passes() throws {
    let report = try verify(converted(.int8))
    #expect(report.passed, "\(report.objections)")
    #expect(report.kl.mean > 0)
    #expect(report.kl.mean < 0.002)
  }

  @Test("where all that choices depend on is kept, router logits and filter orders are the reference's to the bit")
  func exactChoices() throws {
    let path = try converted(.int4ExactChoices)
    let report = try verify(path)
    #expect(report.kl.mean > 0.001)
    for item in report.cases {
      #expect(item.decision?.scores == item.reference.decision?.scores)
      #expect(item.decision?.filterOrder == item.reference.decision?.filterOrder)
    }
    #expect(try Source.open(path: path).hasExactChoices == true)
    #expect(try Source.open(path: converted(.source)).hasExactChoices == true)
    #expect(try Source.open(path: Fixtures.conformanceCheckpoint).hasExactChoices == nil)
    for recipe in [Recipe.Name.int8, .int4, .int4All] {
      #expect(try Source.open(path: converted(recipe)).hasExactChoices == false)
      #expect(try plan(recipe).hasExactChoices == false)
    }
    // A cast that loses something is no promise, and one that loses nothing is.
    for recipe in [Recipe.Name.int4ExactChoices, .source, .f32] { #expect(try plan(recipe).hasExactChoices == true) }
    #expect(try plan(.bf16).hasExactChoices == false)
    #expect(try Source.open(path: converted(.bf16)).hasExactChoices == false)
    #expect(try Source.open(path: converted(.f32)).hasExactChoices == true)
  }

  /// A checkpoint like the conformance one, but for the tensors that `change` returns other bytes for.
  private func tampered(_ change: (SourceTensor) throws -> [UInt8]?) throws -> String {
    let checkpoint = try canonicalCheckpoint(Fixtures.conformanceCheckpoint)
    var writer = SafetensorsWriter()
    for tensor in checkpoint.tensors {
      let bytes = try change(tensor).map { Bytes($0) } ?? tensor.bytes()
      try writer.add(tensor.name, tensor.elementType, shape: tensor.shape, bytes: bytes)
    }
    for file in checkpoint.sideFiles { try folder.write("tampered/" + file.name, file.bytes.array) }
    try folder.write("tampered/model.safetensors", writer.encoded.array)
    return folder.file("tampered")
  }

  private func scaled(_ tensor: SourceTensor, by factor: Float) throws -> [UInt8] {
    floats(try tensor.bytes(), tensor.elementType).map { $0 * factor }.withUnsafeBytes { [UInt8]($0) }
  }

  @Test(
    "no: a tensor twice too large, seen by the outputs alone",
    arguments: ["model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.v_proj.weight", "lm_head.weight"])
  func doubledTensor(name: String) throws {
    let path = try tampered { $0.name == name ? try scaled($0, by: 2) : nil }
    let report = try verify(converted(.int8, from: path))
    #expect(!report.passed, "\(report.kl)")
  }

  /// A copy of a file with bytes of one tensor's first chunk changed, checksums and all made to fit.
  private func rewritten(_ path: String, tensor name: String, _ change: (inout [UInt8]) -> Void) throws -> String {
    let file = try GristFile(path: path)
    let writer = try GristWriter(path: folder.file("rewritten.grist"), provenance: file.manifest.provenance)
    writer.beginSegment("all")
    for tensor in file.manifest.tensors {
      try writer.beginTensor(named: tensor.name)
      for chunk in tensor.chunks.range {
        var bytes = try file.payload(ofChunk: chunk).array
        if tensor.name == name, chunk == tensor.chunks.first { change(&bytes) }
        try writer.append(PackedChunk(Bytes(bytes), packing: .raw))
      }
      writer.endTensor(tensor, unitsPerChunk: tensor.chunks.unitsPerChunk)
    }
    for record in file.manifest.files {
      let bytes = try #require(try file.sideFile(named: record.name))
      try writer.add(file: record.name, bytes, sha256: record.sha256, packing: .raw)
    }
    try writer.finish()
    return folder.file("rewritten.grist")
  }

  private func compareWeights(_ path: String) throws -> WeightComparison {
    try WeightComparison(
      model: Source.open(path: path), reference: Source.open(path: Fixtures.conformanceCheckpoint),
      pool: compute.pool)
  }

  @Test("weights of every recipe are the reference's", arguments: Recipe.Name.allCases)
  func weightsAgree(recipe: Recipe.Name) throws {
    let comparison = try compareWeights(converted(recipe))
    #expect(comparison.isExact)
    #expect(comparison.tensors.count == 100)
    #expect(comparison.rejected.isEmpty, "\(comparison.rejected)")
    #expect(comparison.missing.isEmpty)
  }

  @Test(
    "no: a single scale doubled in the file, which no output shows",
    arguments: ["model.mm_projector.2.weight", "model.embed_tokens.weight"], [Recipe.Name.int8, .int4All])
  func doubledScale(name: String, recipe: Recipe.Name) throws {
    let path = try rewritten(converted(recipe), tensor: name) { bytes in
      // The chunk ends in scales: the last f16 of it, its exponent raised by one.
      bytes[bytes.count - 1] += 4
    }
    let comparison = try compareWeights(path)
    #expect(comparison.rejected.map(\.name) == [name])
    let report = VerificationReport(
      model: .init(path: "m"), reference: .init(path: "r", kind: .record), limits: VerificationLimits(),
      cases: try verify(path).cases, hasRouter: true,
      weights: comparison)
    #expect(!report.passed)
  }

  @Test("no: one layer's weights swapped with another's")
  func swappedLayers() throws {
    let checkpoint = try canonicalCheckpoint(Fixtures.conformanceCheckpoint)
    let path = try tampered { tensor in
      let other = tensor.name.replacing("model.layers.0.mlp", with: "model.layers.1.mlp")
      return other == tensor.name ? nil : try checkpoint.tensor(named: other)?.bytes().array
    }
    #expect(try !verify(converted(.int8, from: path)).passed)
  }

  @Test("19.24: weights of another checkpoint are told apart, however near they are")
  func nearWeights() throws {
    let pool = compute.pool
    func compare(_ path: String) throws -> WeightComparison {
      try WeightComparison(
        model: Source.open(path: converted(.int8)), reference: Source.open(path: path), pool: pool)
    }
    let nearly = try compare(tampered { $0.name == "lm_head.weight" ? try scaled($0, by: 1.001) : nil })
    #expect(nearly.origin == .other)
    #expect(nearly.rejected.map(\.name) == ["lm_head.weight"])
    let other = try compare(tampered { $0.name == "lm_head.weight" ? try scaled($0, by: 1.1) : nil })
    #expect(other.rejected.map(\.name) == ["lm_head.weight"])
  }

  @Test("no: a router that was turned upside down, though the outputs agree")
  func flippedRouter() throws {
    let path = try tampered { $0.name == "model.router.router.2.weight" ? try scaled($0, by: -1) : nil }
    let report = try verify(converted(.source, from: path))
    #expect(report.count(.differs) == 2)
    #expect(report.kl.mean == 0)
    #expect(!report.passed)
    #expect(report.objections.count == 1)
  }

  @Test("a differing choice is a tie below the margin, and held against the model above it")
  func ties() throws {
    let path = try tampered { $0.name == "model.router.router.2.weight" ? try scaled($0, by: -1) : nil }
    let model = try converted(.source, from: path)
    let report = try verify(model, limits: VerificationLimits(tieMargin: 100, maximumMeanKL: 0.05))
    #expect(report.count(.tie) == 2)
    #expect(report.passed)
  }

  @Test("no: NaN in the outputs")
  func notANumber() throws {
    let path = try tampered { $0.name == "model.norm.weight" ? try scaled($0, by: .nan) : nil }
    let report = try verify(converted(.source, from: path))
    #expect(!report.passed)
  }

  @Test("nothing to compare is no success")
  func empty() {
    let report = VerificationReport(
      model: .init(path: "a"), reference: .init(path: "b", kind: .record), limits: VerificationLimits(), cases: [])
    #expect(!report.passed)
  }

  @Test("a record reads back as it was written")
  func recordRoundTrip() throws {
    let path = folder.file("record.safetensors")
    try writeFile(path, reference.encoded())
    let read = try ReferenceRecord(path: path)
    #expect(read.fingerprint == reference.fingerprint)
    #expect(read.cases.count == 3)
    for (a, b) in zip(read.cases, reference.cases) {
      #expect(a.question == b.question)
      #expect(a.question.pictures.first?.bytes.array == b.question.pictures.first?.bytes.array)
      #expect(a.tokens == b.tokens && a.logits == b.logits && a.inputIDs == b.inputIDs)
      #expect(a.decision?.scores == b.decision?.scores && a.decision?.filterOrder == b.decision?.filterOrder)
      #expect(a.granularity == b.granularity && a.sequenceLength == b.sequenceLength)
    }
  }

  @Test("a record of other weights is refused with 65")
  func otherWeights() throws {
    let path = folder.file("record.safetensors")
    try writeFile(path, reference.encoded())
    let other = try tampered { $0.name == "model.norm.weight" ? try scaled($0, by: 1.5) : nil }
    let error = #expect(throws: GristError.self) {
      _ = try Reference.open(path, model: Source.open(path: converted(.int8, from: other)), asksQuestions: false)
    }
    #expect(error?.code == .badData)
    #expect(error?.what == "the record was made from other weights than the model")
    _ = try Reference.open(path, model: Source.open(path: converted(.int4)), asksQuestions: false)
  }

  @Test("a record travels inside the file, and replaces the one before")
  func embeddedRecord() throws {
    let path = try converted(.int8)
    let before = try GristFile(path: path)
    for _ in 0..<2 {
      try EmbeddingTarget(path: path, fingerprint: reference.fingerprint).embed(reference.encoded())
    }
    let after = try GristFile(path: path)
    #expect(after.manifest.tensors.map(\.name) == before.manifest.tensors.map(\.name))
    #expect(after.manifest.files.count == before.manifest.files.count + 1)
    for tensor in after.manifest.tensors {
      let old = try #require(before.tensor(named: tensor.name))
      for (a, b) in zip(tensor.chunks.range, old.chunks.range) {
        #expect(try after.payload(ofChunk: a).elementsEqual(before.payload(ofChunk: b)))
      }
    }
    guard case .record(let record) = try Reference.open(nil, model: Source(after), asksQuestions: false) else {
      Issue.record("no record inside")
      return
    }
    #expect(record.cases.count == 3)
    #expect(throws: GristError.self) {
      try EmbeddingTarget(path: path, fingerprint: "another")
    }
  }

  @Test("a margin's change is that between the grids that the first decision has in front")
  func marginChange() {
    func decision(_ logits: [Float]) -> RouterDecision {
      RouterDecision(
        granularities: Array([36, 72, 144].prefix(logits.count)), logits: logits, filterOrder: [])
    }
    #expect(decision([1, 3, 2]).marginChange(in: decision([5, 2, 4])) == 3)
    #expect(decision([1, 3, 2]).marginChange(in: decision([1, 3, 2])) == 0)
    #expect(decision([1]).marginChange(in: decision([2])) == 0)
  }

  @Test("by part: only parts that changed change the router")
  func attribution() throws {
    let path = try tampered { $0.name.hasPrefix("model.router.router.0.") ? try scaled($0, by: 1.3) : nil }
    let effects = try attributeRouterChanges(
      reference: Source.open(path: Fixtures.conformanceCheckpoint).parameters(pool: compute.pool),
      model: Source.open(path: path).parameters(pool: compute.pool), record: reference, compute: compute)
    #expect(effects.map(\.part) == DecidingPart.allCases)
    for effect in effects {
      #expect((effect.largestLogitChange > 0) == (effect.part == .router), "\(effect.part)")
      #expect(
        (effect.meanMarginChange > 0) == (effect.part == .router) && effect.changedBeyondTies <= effect.choicesChanged)
    }
  }

  @Test("a probe's answer is what is compared on, and perplexity is that of its tokens")
  func givenAnswers() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let compute = Compute(pool: try ThreadPool(threads: 2), activations: .f32)
    let model = try source.model(compute: compute)
    let answer = "Good morning to you, and to the many who come after you."
    let probes = [
      Question(prompt: "Good morning!", answer: answer),
      Question(prompt: "Good morning!"),
    ]
    let cases = try model.record(probes, maxNewTokens: 32)
    let tokens = try model.tokenizer.encode(answer)
    #expect(cases[0].tokens == tokens && cases[0].logits.count == tokens.count && cases[1].tokens != tokens)
    #expect(try model.record(Array(probes.prefix(1)), maxNewTokens: 3)[0].tokens == Array(tokens.prefix(3)))
    func perplexity(_ cases: [ReferenceRecord.Case]) -> Double {
      let surprisals = cases.flatMap { recorded in
        zip(recorded.tokens, recorded.logits.map(\.values)).map { token, logits in
          let normalizer = logits.reduce(0.0) { $0 + exp(Double($1)) }
          return log(normalizer) - Double(logits[token])
        }
      }
      return exp(surprisals.reduce(0, +) / Double(surprisals.count))
    }
    let record = ReferenceRecord(fingerprint: "", source: "itself", cases: cases)
    let report = try source.verify(
      against: record, limits: VerificationLimits(requiresChoices: false), compute: compute)
    let found = try #require(report.perplexity)
    #expect(abs(found.reference / perplexity(cases) - 1) < 1e-9 && found.model == found.reference)
    #expect(report.passed && report.cases[0].greedyMatch == tokens.count)
    // What it would have said itself surprises it less.
    #expect(perplexity([cases[1]]) < perplexity([cases[0]]))
    // A record comes from outside: a token that the vocabulary has not is no reason to stop.
    let strange = Divergence(reference: [1, 2], model: [1, 2], token: 2)
    #expect(strange.surprisal?.reference == .infinity && strange.surprisal?.model == .infinity && strange.kl == 0)
    let empty = Question(prompt: "Good morning!", answer: "")
    #expect(throws: GristError.self) { try model.record([empty], maxNewTokens: 4) }
  }
}
