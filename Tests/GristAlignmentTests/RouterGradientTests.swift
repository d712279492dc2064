import GristAlignment
import GristCore
import GristKernels
import GristModel
import GristSources
import TestSupport
import Testing

/// The router's gradients against PyTorch's autograd; Tools/reference/write_router_gradients.py wrote the fixture.
@Suite("Gradients of the router") struct RouterGradientTests {
  private let tensors: [String: SourceTensor]
  private let told: JSONReader
  private let routing: GranularityRouting
  private let compute: Compute

  init() throws {
    let file = try SafetensorsFile(path: Fixtures.path("alignment/router.safetensors"))
    tensors = Dictionary(file.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let text = try #require(file.metadata.first { $0.name == "router" }?.value)
    told = try JSONReader(JSONValue.parse(text), file: "router")
    routing = GranularityRouting(
      granularities: try told.integers("granularities", in: 1...1000),
      filteredTextTokens: try told.integer("text", in: 0...100), heads: 8, width: try told.integer("width", in: 8...64),
      side: try told.integer("side", in: 1...8))
    compute = Compute(pool: try ThreadPool(threads: 2), activations: .f32)
  }

  private func values(_ name: String) throws -> [Float] { floats(try #require(tensors[name]).bytes(), .f32) }

  /// The file's tensors of a group, in the router's order and its shapes.
  private func weights(_ group: String) throws -> RouterWeights {
    let zeros = RouterWeights(zerosFor: routing)
    return RouterWeights(
      routing,
      try zip(routing.tensors, zeros.tensors).map { expected, zero in
        let name = expected.name.dropFirst("model.router.".count)
        return FloatMatrix(rows: zero.rows, columns: zero.columns, values: try values("\(group).\(name)"))
      })
  }

  private func training(_ terms: RankingLoss.Terms, activationBytes: Int = 1 << 30) throws -> RouterTraining {
    let (width, patches) = (routing.width, routing.side * routing.side)
    var pictures: [String: (bytes: Bytes, tiles: Int)] = [:]
    var feedback: [QuestionFeedback] = []
    let losses = try values("losses")
    let options = routing.granularities.count
    for (picture, counts) in try told.array("pictures").enumerated() {
      let (tiles, questions) = (counts.integers[0], counts.integers[1])
      let bytes = try values("features.\(picture)").withUnsafeBufferPointer { convertFloats($0, to: .bf16).payload }
      pictures["\(picture)"] = (bytes, tiles)
      for _ in 0..<questions {
        let own = losses[feedback.count * options..<(feedback.count + 1) * options]
        let rows = try #require(tensors["text.\(feedback.count)"]).shape[0]
        feedback.append(
          QuestionFeedback(
            index: feedback.count, picture: "\(picture)", tiles: tiles,
            text: (0..<rows).map { feedback.count * 1000 + $0 }, losses: own.map(Double.init),
            visualTokens: routing.granularities, choice: nil, featuresChecksum: ""))
      }
    }
    var training = RouterAlignment.Training()
    training.loss.terms = terms
    training.loss.alpha = try told.double("alpha")
    training.loss.margin = try told.double("margin")
    training.loss.tokenPrice = try told.double("price")
    training.epochs = 3
    training.batch = 1
    let texts = try (0..<3).map { try values("text.\($0)") }
    return RouterTraining(
      options: training, routing: routing, compute: compute, activationBytes: activationBytes,
      samples: RouterTraining.PictureFeedback.grouped(feedback),
      pictures: FeedbackPictures(shape: FeatureShape(patches: patches, width: width), pictures: pictures),
      embed: { ids in
        FloatMatrix(
          rows: ids.count, columns: width,
          values: ids.flatMap { texts[$0 / 1000][$0 % 1000 * width..<($0 % 1000 + 1) * width] })
      })
  }

  @Test("are autograd's for every tensor, whatever is kept for the way back", arguments: RankingLoss.Terms.allCases)
  func autograd(_ terms: RankingLoss.Terms) throws {
    let weights = try weights("weight")
    let expected = try self.weights(terms.rawValue)
    for activationBytes in [1 << 30, 0] {
      let training = try training(terms, activationBytes: activationBytes)
      let gradients = RouterWeights(zerosFor: routing)
      let (loss, _) = try training.addGradients(of: weights, on: training.samples, to: gradients)
      #expect(abs(loss - Double(try values("\(terms.rawValue).loss")[0])) < 1e-6)
      for (index, tensor) in routing.tensors.enumerated() {
        let (own, theirs) = (gradients.tensors[index], expected.tensors[index])
        let sums = differenceSums(rows(own), from: rows(theirs))
        // The bias of the keys shifts every score alike, and so does nothing: its gradient is noise.
        let scale = max(sums.squaredSource.squareRoot(), 1e-4)
        #expect(sums.squaredError.squareRoot() / scale < 1e-5, "\(tensor.name)")
      }
    }
  }

  private func rows(_ matrix: FloatMatrix) -> [Float] { (0..<matrix.rows).flatMap(matrix.row) }

  @Test("training goes on where it was stopped, to the same weights")
  func resumed() throws {
    let folder = try TemporaryFolder()
    let training = try training(.both)
    let whole = try weights("weight")
    var steps: [RouterTraining.Step] = []
    try training.run(whole) { steps.append($0) }
    #expect(steps.count == 6 && steps.map(\.number) == Array(0..<6))
    #expect(Set(steps.prefix(2).flatMap(\.pictures)) == [0, 1])
    struct Stopped: Error {}
    let state = TrainingState(path: folder.file("state"), key: "k")
    let stopped = try weights("weight")
    #expect(throws: Stopped.self) {
      try training.run(stopped, state: state, savesEvery: .zero) { if $0.number == 3 { throw Stopped() } }
    }
    let resumed = try weights("weight")
    var later: [Int] = []
    try training.run(resumed, state: state) { later.append($0.number) }
    #expect(later.first == 3)
    for (a, b) in zip(whole.tensors, resumed.tensors) { #expect(rows(a) == rows(b)) }
    // Another training does not go on from it.
    later = []
    try training.run(try weights("weight"), state: TrainingState(path: folder.file("state"), key: "other")) {
      later.append($0.number)
    }
    #expect(later.count == 6)
  }

  @Test("the rate of each step is OneCycleLR's", arguments: [6, 30])
  func rates(_ steps: Int) throws {
    let rate = OneCycleRate(greatest: 2e-3, steps: steps)
    for (step, expected) in try values("rates.\(steps)").enumerated() {
      #expect(abs(rate(step) - Double(expected)) < 1e-9)
    }
  }

  @Test("words beyond those that count neither vote nor learn")
  func filtered() throws {
    var options = try training(.both).options
    options.filteredTextTokens = 2
    let all = try training(.both)
    let few = RouterTraining(
      options: options, routing: routing, compute: compute, activationBytes: 1 << 30, samples: all.samples,
      pictures: all.pictures, embed: all.embed)
    let weights = try weights("weight")
    try few.run(weights) { _ in }
    let visual = routing.granularities.reduce(0, +)
    #expect(weights.voter.row(0)[(visual + 2)...].allSatisfy { $0 == 0 })
    #expect(weights.voter.row(0)[..<(visual + 2)].allSatisfy { $0 != 0 })
  }
}
