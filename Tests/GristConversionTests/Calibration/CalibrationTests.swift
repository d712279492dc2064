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

@Suite("Calibration") struct CalibrationTests {
  let folder: TemporaryFolder
  let pool: ThreadPool

  init() throws {
    folder = try TemporaryFolder()
    pool = try ThreadPool(threads: 2)
  }

  private func calibration() throws -> Calibration {
    let picture = try readFile(Fixtures.conformanceImages + "/flower_tiny.jpg")
    return Calibration(
      samples: [
        .init(picture: picture, question: "Is it red?", answer: "It is."),
        .init(question: "Good morning!", answer: "Good morning to you, and to the many who come after you."),
        .init(question: "What else?"),
      ], name: "three samples")
  }

  private func statistics(threads: Int = 2) throws -> InputStatistics {
    try calibration().gather(
      Source.open(path: Fixtures.conformanceCheckpoint), pool: ThreadPool(threads: threads))
  }

  private func convert(_ statistics: InputStatistics?, recipe name: Recipe.Name = .int4All) throws -> String {
    let path = folder.file("\(name.rawValue)-\(statistics == nil ? "none" : "block").grist")
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let recipe = try Recipe(name, calibrated: statistics?.matrices ?? [])
    _ = try Converter(pool: pool, packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: path,
      correction: statistics.map { BlockCorrection($0) })
    return path
  }

  @Test("every matrix whose columns come in blocks is observed, of tower, projector, router and language model")
  func coverage() throws {
    let names = try statistics().matrices.map(\.text)
    for name in [
      "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight",
      "model.mm_projector.2.weight", "model.router.merger.linear1.weight",
      "model.vision_tower.vision_tower.vision_model.encoder.layers.1.mlp.fc2.weight",
    ] { #expect(names.contains(name), "\(name)") }
    // 344 columns are no whole blocks.
    #expect(!names.contains("model.layers.0.mlp.down_proj.weight"))
  }

  @Test("which matrices will be observed is known before the model is run")
  func prediction() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let expected = try source.configuration().expectedTensors
    for samples in [try calibration().samples, [.init(question: "What else?", answer: "Nothing.")]] {
      let calibration = Calibration(samples: samples, name: "samples")
      let observed = try calibration.gather(source, pool: pool).matrices
      #expect(calibration.matrices(of: expected) == observed)
    }
  }

  @Test("photographs are bundled for models that see, and can be read")
  func bundled() throws {
    let samples = Calibration.bundled(withPhotographs: true).samples
    let pictures = samples.flatMap(\.question.pictures)
    #expect(pictures.count == 4 && samples.allSatisfy { $0.question.answer?.isEmpty == false })
    for picture in pictures { #expect(try RGBImage(encoded: picture.bytes, name: "bundled").width > 100) }
    #expect(Calibration.bundled(withPhotographs: false).samples.allSatisfy { $0.question.pictures.isEmpty })
  }

  @Test("moments are the sums of products of inputs that were turned")
  func moments() throws {
    let compute = Compute(pool: pool)
    let moments = try #require(BlockMoments(columns: 128))
    let x = FloatMatrix(rows: 5, columns: 128, values: (0..<640).map { Float(($0 * 37) % 19) - 9 })
    moments.add(x.copy(rows: 0..<2), compute)
    moments.add(x.copy(rows: 2..<5), compute)
    #expect(moments.rows == 5 && BlockMoments(columns: 100) == nil)
    /// A turned input, by the definition of the matrix.
    func turned(_ row: Int, _ column: Int) -> Double {
      (0..<64).reduce(0.0) {
        let sign = ($1 & (column % 64)).nonzeroBitCount % 2 == 0 ? 1.0 : -1.0
        return $0 + sign * Double(x[row, column / 64 * 64 + $1]) / 8
      }
    }
    for (block, i, j) in [(0, 0, 0), (0, 3, 17), (1, 63, 62), (1, 5, 5)] {
      let expected = (0..<5).reduce(0.0) { $0 + turned($1, block * 64 + i) * turned($1, block * 64 + j) }
      #expect(abs(Double(moments.values[(block * 64 + i) * 64 + j]) - expected) < 1e-3)
    }
  }

  @Test("the file comes back as it was, and is the same for any number of threads")
  func file() throws {
    let bytes = try statistics().encoded()
    #expect(try statistics(threads: 1).encoded().elementsEqual(bytes))
    try folder.write("stats", bytes.array)
    #expect(try InputStatistics(path: folder.file("stats")).encoded().elementsEqual(bytes))
  }

  @Test("statistics are the same within a budget, and one that is too small is refused with the least")
  func budget() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let calibration = try calibration()
    let compute = Compute(pool: pool, activations: .f32)
    func memory(_ bytes: Int) throws -> CalibrationMemory {
      try calibration.memory(source, budget: .bytes(bytes), compute: compute)
    }
    let expected = try statistics().encoded()
    let least = try memory(1 << 40).leastBudget
    for budget in [1 << 40, least] {
      let within = try memory(budget)
      #expect(within.plan.streams && within.peakBytes <= budget)
      #expect(within.rowsTogether < Calibration.rowsTogether || budget > least)
      #expect(try calibration.gather(source, pool: pool, memory: within).encoded().elementsEqual(expected))
    }
    let error = #expect(throws: GristError.self) { try memory(least - 1) }
    #expect(error?.code == .usage && error?.description.contains(NumberText.mebibytes(least)) == true)
  }

  @Test("statistics of other weights, and files that are none, are refused")
  func refused() throws {
    let error = #expect(throws: GristError.self) {
      try statistics().require(fingerprint: "00", path: "stats")
    }
    #expect(error?.code == .badData && error?.what == "the statistics were gathered on other weights")
    let other = Fixtures.conformanceCheckpoint + "/model.safetensors"
    #expect(throws: GristError.self) { _ = try InputStatistics(path: other) }
  }

  @Test("moments that are zero are passed over, what is not finite is refused")
  func degenerate() throws {
    let zero = [Float](repeating: 0, count: 64 * 64)
    #expect(ErrorFeedback(moments: zero)?.emptyBlocks == 1)
    // One direction only: damping makes it positive definite.
    let single: [Float] = (0..<4096).map { (index: Int) -> Float in Float(index / 64 + 1) * Float(index % 64 + 1) }
    #expect(ErrorFeedback(moments: zero + single)?.emptyBlocks == 1)
    #expect(ErrorFeedback(moments: zero.map { _ in .nan }) == nil)
    #expect(ErrorFeedback(moments: [1, 2, 3]) == nil)
  }

  @Test("what errors do to the outputs shrinks, and the file says how far its weights are")
  func smallerDivergence() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let compute = Compute(pool: pool)
    let record = ReferenceRecord(
      fingerprint: try source.fingerprint(), source: source.path,
      cases: try source.model(compute: Compute(pool: pool, activations: .f32)).record(
        // Weights at random: what single prompts say is chance.
        (1...24).map { Question(prompt: "Tell me about number \($0).") }, maxNewTokens: 8))
    let statistics = try statistics()
    var kl: [Double] = []
    for path in [try convert(nil), try convert(statistics)] {
      let model = try Source.open(path: path)
      kl.append(try model.verify(against: record, compute: compute).kl.mean)
      let comparison = try WeightComparison(model: model, reference: source, pool: pool)
      #expect(comparison.rejected.isEmpty && comparison.isExact)
    }
    #expect(kl[1] < 0.95 * kl[0], "\(kl)")
    let schemes = try GristFile(path: folder.file("int4-all-block.grist")).manifest.tensors.map(\.scheme.name)
    #expect(schemes.contains("int4 g64 table rotated") && schemes.contains("int4 g64 table"))
  }

  @Test("the decoder walked layer by layer stops before every matrix, with the inputs that a model run whole has")
  func walk() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let statistics = try statistics()
    // Whole: the same samples through a model whose inputs are observed where it multiplies.
    let compute = Compute(pool: pool, activations: .f32)
    let model = try source.model(compute: compute)
    let prompts = try calibration().samples.map(\.question).filter { $0.answer != nil }.map { question in
      try model.appending(
        model.tokenizer.encode(try #require(question.answer)),
        to: model.prepare(
          question.conversation(clock: nil),
          images: question.pictures.map { try model.encode(RGBImage(encoded: $0.bytes, name: $0.name)) }))
    }
    let parameters = source.parameters(pool: pool)
    let rows = FloatMatrix(
      rows: prompts.reduce(0) { $0 + $1.sequenceLength }, columns: model.configuration.hiddenSize)
    var row = 0
    for prompt in prompts {
      rows.copyRows(0..<prompt.sequenceLength, of: prompt.rows, toRow: row)
      row += prompt.sequenceLength
    }
    let walk = try DecoderWalk(
      rows: rows, lengths: prompts.map(\.sequenceLength), configuration: model.configuration, store: parameters,
      compute: compute)
    var names: [String] = []
    while !walk.isAtHead {
      let matrices = walk.matrices
      names += matrices.map(\.name)
      let input = try walk.input()
      #expect(input.rows == rows.rows && matrices.allSatisfy { $0.columns == input.columns })
      try walk.advance(matrices.map(parameters.matrix))
    }
    #expect(names.count == 7 * model.configuration.layers && Set(names).count == names.count)
    #expect(statistics.matrices.isSuperset(of: [ByteName("model.layers.0.self_attn.o_proj.weight")]))
    // The head's logits of the last row are what decoding begins with.
    let head = try parameters.matrix(walk.matrices[0])
    let logits = compute.linear(try walk.input(), head)
    var last = -1
    for prompt in prompts {
      last += prompt.sequenceLength
      let expected = try model.start(prompt, newTokens: 0).logits
      let worst = zip(logits.row(last), expected).map { abs($0 - $1) }.max() ?? 1
      #expect(worst < 1e-4)
    }
  }

  @Test("a whole covariance and blocks of it ask for the same feedback where blocks are all there is")
  func wholeCovariance() throws {
    // Inputs whose two blocks have nothing to do with each other.
    let x = FloatMatrix(
      rows: 256, columns: 128,
      values: (0..<256 * 128).map { (index: Int) -> Float in
        let (row, column) = (index / 128, index % 128)
        guard row / 128 == column / 64 else { return 0 }
        let mixed = row * 31 + column * 17 + row * column
        return Float(mixed % 23) - 11
      })
    let compute = Compute(pool: pool, activations: .f32)
    let covariance = try #require(InputCovariance(columns: 128, compute))
    covariance.add(x.copy(rows: 0..<100))
    covariance.add(x.copy(rows: 100..<256))
    let moments = try #require(BlockMoments(columns: 128))
    moments.add(x, compute)
    let whole = try #require(covariance.feedback(damping: 0.01))
    let blocks = try #require(ErrorFeedback(moments: moments.values))
    #expect(whole.raisedPivots == 0 && blocks.raisedPivots == 0)
    let weights = (0..<16 * 128).map { (index: Int) -> Float in Float((index * 7919) % 201) / 100 - 1 }
    let shape = try #require(TileShape(rows: 16, columns: 128, codes: .int4, groupSize: 64))
    let coding = GroupCoding(table: .nonlinear, rotation: .hadamard64)
    let bytes = Bytes(weights.withUnsafeBytes { Array($0) })
    let results = [whole, blocks].map { feedback in
      quantizeTiles(bytes, .f32, shape: shape, coding: coding, feedback: feedback, prescale: 1)
    }
    // Damping is a share of the mean of all columns or of a block's: almost the same here.
    #expect(abs(results[0].error.squaredError / results[1].error.squaredError - 1) < 0.02)
    #expect(InputCovariance(columns: 100, compute) == nil)
    #expect(try #require(InputCovariance(columns: 64, compute)).feedback() == nil)
  }

  @Test("what one block of columns loses, others make up for where their inputs go together")
  func acrossBlocks() throws {
    let columns = 320
    // Five blocks of columns that say almost the same.
    let x = FloatMatrix(
      rows: 200, columns: columns,
      values: (0..<200 * columns).map { (index: Int) -> Float in
        let (row, column) = (index / columns, index % columns)
        let common = (row * 31 + column % 64 * 17 + row * (column % 64)) % 23
        let own = (row * 13 + column * 7 + row * column) % 5
        return Float(common) - 11 + Float(own) / 4
      })
    let compute = Compute(pool: pool, activations: .f32)
    let covariance = try #require(InputCovariance(columns: columns, compute))
    let moments = try #require(BlockMoments(columns: columns))
    covariance.add(x)
    moments.add(x, compute)
    let shape = try #require(TileShape(rows: 24, columns: columns, codes: .int4, groupSize: 32))
    let coding = GroupCoding(table: .nonlinear, rotation: .hadamard64)
    let weights = (0..<24 * columns).map { (index: Int) -> Float in Float((index * 7919) % 201) / 100 - 1 }
    let bytes = Bytes(weights.withUnsafeBytes { Array($0) })
    let exact = compute.linear(
      x, try #require(PlainWeights(rows: 24, columns: columns, bytes: bytes, elementType: .f32)))
    let errors = try [ErrorFeedback(moments: moments.values), covariance.feedback()].map { feedback -> Double in
      let quantized = quantizeTiles(
        bytes, .f32, shape: shape, coding: coding, feedback: try #require(feedback), prescale: 4)
      let stored = try #require(
        TiledWeights(shape: shape, coding: coding, multiplier: 0.25, runs: [quantized.payload], tilesPerRun: 2))
      let found = compute.linear(x, stored)
      return (0..<200).reduce(0.0) { total, row in
        zip(found.row(row), exact.row(row)).reduce(total) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
      }
    }
    #expect(errors[1] < 0.5 * errors[0], "\(errors)")
  }

  @Test("full calibration leaves less than blocks do, whatever the number of threads")
  func full() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let model = try Source.open(path: Fixtures.conformanceCheckpoint)
    let calibration = Calibration(
      samples: Array(Calibration.bundled(withPhotographs: false).samples.prefix(8)), name: "eight samples")
    var files: [Bytes] = []
    for threads in [1, 2] {
      let pool = try ThreadPool(threads: threads)
      let feedback = try LayerwiseCorrection(calibration, model, pool: pool)
      #expect(feedback.notes.isEmpty && feedback.summary.hasPrefix("full: eight samples, "))
      let recipe = try Recipe(.int4All, calibrated: feedback.matrices)
      let path = folder.file("full-\(threads).grist")
      _ = try Converter(pool: pool, packing: .raw).convert(
        source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: path, correction: feedback)
      files.append(try readFile(path))
      let comparison = try WeightComparison(model: Source.open(path: path), reference: model, pool: pool)
      #expect(comparison.rejected.isEmpty && comparison.isExact)
    }
    #expect(files[0].elementsEqual(files[1]))
    let record = ReferenceRecord(
      fingerprint: try model.fingerprint(), source: model.path,
      cases: try model.model(compute: Compute(pool: pool, activations: .f32)).record(
        // Weights at random: what single prompts say is chance.
        (1...24).map { Question(prompt: "Tell me about number \($0).") }, maxNewTokens: 8))
    let kl = try [convert(calibration.gather(model, pool: pool)), folder.file("full-2.grist")].map {
      try Source.open(path: $0).verify(against: record, compute: Compute(pool: pool)).kl.mean
    }
    #expect(kl[1] < 0.95 * kl[0], "\(kl)")
  }

  /// Three matrices' moments, each wanting in its own way.
  private final class Odd: ErrorCorrection {
    static let layer = "model.layers.0.self_attn."
    let columns: Int

    init(columns: Int) { self.columns = columns }

    var matrices: Set<ByteName> { Set(["q_proj", "k_proj", "o_proj"].map { ByteName(Self.layer + $0 + ".weight") }) }
    var summary: String { "odd" }
    func conclude() {}

    func quantize(
      _ name: String, takesFeedback: Bool, _ write: (QuantizationStep) throws -> FinishedMatrix?
    ) throws { _ = try write(.encode(feedback(for: name), returnsCodes: false)) }

    private func feedback(for name: String) -> ErrorFeedback? {
      switch name {
      case Self.layer + "q_proj.weight": nil
      case Self.layer + "k_proj.weight": ErrorFeedback(moments: moments(lastBlock: 0))
      // Products greater than the squares: no inputs have them.
      case Self.layer + "o_proj.weight": ErrorFeedback(moments: moments(lastBlock: 1, beside: 5))
      default: nil
      }
    }

    private func moments(lastBlock value: Float, beside: Float = 0) -> [Float] {
      (0..<columns * 64).map { index in
        let (block, row, column) = (index / 4096, index / 64 % 64, index % 64)
        if row == column { return block == columns / 64 - 1 ? value : 1 }
        return block == columns / 64 - 1 && row + column == 1 ? beside : 0
      }
    }
  }

  @Test("moments that say nothing, or what cannot be, are reported")
  func findings() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let feedback = Odd(columns: 128)
    let recipe = try Recipe(.int4, calibrated: feedback.matrices)
    let summary = try Converter(pool: pool, packing: .raw).convert(
      source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file("odd.grist"),
      correction: feedback)
    #expect(
      summary.notes == [
        "the inputs of model.layers.0.self_attn.q_proj.weight were always zero or not finite while calibrating: "
          + "rounded to nearest",
        "while calibrating, 1 block of 64 inputs in 1 matrix stayed zero: weights there are rounded each for itself",
        "the moments of 1 direction in 1 matrix contradict the others': such directions count as little as those that no "
          + "input had",
      ])
  }

  /// Corrects as another does, until a matrix is asked for that it does not come to.
  private final class Stopped: ErrorCorrection {
    let base: LayerwiseCorrection
    let last: String

    init(_ base: LayerwiseCorrection, before last: String) {
      self.base = base
      self.last = last
    }

    var matrices: Set<ByteName> { base.matrices }
    var summary: String { base.summary }
    func quantize(
      _ name: String, takesFeedback: Bool, _ write: (QuantizationStep) throws -> FinishedMatrix?
    ) throws {
      if name == last { throw GristError(.interrupted, "interrupted") }
      try base.quantize(name, takesFeedback: takesFeedback, write)
    }

    func conclude() { base.conclude() }
  }

  @Test("a full calibration that was stopped goes on where it was, to the same file")
  func resumed() throws {
    let source = try Source.open(path: Fixtures.conformanceCheckpoint)
    let model = try Source.open(path: Fixtures.conformanceCheckpoint)
    let unfinished = folder.file("unfinished")
    func run(_ name: String, keeping: Bool, key: String = "a", stopBefore last: String? = nil) throws -> [String] {
      let progress = keeping ? try ResumeFolder(folder: unfinished, key: key) : nil
      let feedback = try LayerwiseCorrection(calibration(), model, pool: pool, progress: progress)
      let recipe = try Recipe(.int4All, calibrated: feedback.matrices)
      let used: any ErrorCorrection = last.map { Stopped(feedback, before: $0) } ?? feedback
      _ = try Converter(pool: pool, packing: .raw).convert(
        source, plan: ConversionPlan(source, recipe: recipe), recipe: recipe, to: folder.file(name), correction: used)
      used.conclude()
      return feedback.notes
    }
    _ = try run("whole.grist", keeping: false)
    #expect(throws: GristError.self) {
      _ = try run("stopped.grist", keeping: true, stopBefore: "model.layers.1.self_attn.o_proj.weight")
    }
    #expect(fileKind(at: folder.file("stopped.grist")) == nil && fileKind(at: unfinished) == .folder)
    // Files that were cut short say so, and what to do.
    for name in ["beginning", "layer-0", "rows-1"] {
      let whole = try readFile(unfinished + "/" + name).array
      try folder.write("unfinished/" + name, Array(whole.prefix(whole.count / 2)))
      let error = #expect(throws: GristError.self) { _ = try run("resumed.grist", keeping: true) }
      #expect(error?.code == .badData && error?.advice == "remove \(unfinished) and begin again")
      try folder.write("unfinished/" + name, whole)
    }
    let notes = try run("resumed.grist", keeping: true)
    #expect(notes.count == 1 && notes[0].hasPrefix("going on after layer 0, "))
    #expect(fileKind(at: unfinished) == nil)
    #expect(try readFile(folder.file("resumed.grist")).elementsEqual(readFile(folder.file("whole.grist"))))

    // What belongs to another calibration is not gone on with.
    #expect(throws: GristError.self) {
      _ = try run("stopped.grist", keeping: true, key: "b", stopBefore: "model.layers.1.self_attn.o_proj.weight")
    }
    #expect(try run("again.grist", keeping: true).isEmpty)
    #expect(try readFile(folder.file("again.grist")).elementsEqual(readFile(folder.file("whole.grist"))))
  }
}
