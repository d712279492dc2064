import ArgumentParser
import GristAlignment
import GristCore
import GristModel

/// How a router is trained.
struct TrainingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Terms of the loss.", valueName: RankingLoss.Terms.allCases.map(\.rawValue).joined(separator: "|")))
  var terms: RankingLoss.Terms = .both

  @Option(help: ArgumentHelp("Weight of the cross-entropy beside the ranking.", valueName: "a"))
  var alpha = 0.1

  @Option(help: ArgumentHelp("How many times further apart scores must be than losses.", valueName: "m"))
  var margin = 1.0

  @Option(
    help: ArgumentHelp(
      "Price of visual tokens: added to the finest granularity's loss, and their share of it to others'.",
      valueName: "p"))
  var tokenPrice = 0.0

  @Option(
    help: ArgumentHelp(
      "Tokens of the prompt that count.", discussion: "Default: all that the router sees.", valueName: "k"))
  var filteredTokens: Int?

  @Option(help: ArgumentHelp("Greatest rate of AdamW.", valueName: "r"))
  var rate = RouterAlignment.Training().rate

  @Option(help: ArgumentHelp("AdamW's weight decay.", valueName: "w"))
  var weightDecay = RouterAlignment.Training().weightDecay

  @Option(help: ArgumentHelp("Times that every picture is learned from.", valueName: "n"))
  var epochs = RouterAlignment.Training().epochs

  @Option(help: ArgumentHelp("Pictures a step, each with all questions about it.", valueName: "n"))
  var batch = RouterAlignment.Training().batch

  @Option(help: ArgumentHelp("Seed of the order of pictures, and of a new router.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Begin with a router before any training instead of the file's own.")
  var fromScratch = false

  @Option(
    help: ArgumentHelp(
      "Other granularities than the model's, for a router from scratch; the file's config.json is changed so.",
      valueName: "n,…"))
  var granularities: GranularityList?

  @Option(
    help: ArgumentHelp(
      "Memory that training keeps to.", discussion: "Default: what the weights take, and half a GiB.", valueName: "size"
    ))
  var trainingMemory: BudgetOption?

  func validate() throws {
    func require(_ name: String, _ value: Double, _ range: ClosedRange<Double>) throws {
      guard range.contains(value) else {
        throw ValidationError(
          "--\(name) must be from \(NumberText.significant(range.lowerBound)) to \(NumberText.significant(range.upperBound))"
        )
      }
    }
    try require("alpha", alpha, 0...1e6)
    try require("margin", margin, 0...1e6)
    try require("token-price", tokenPrice, 0...1e6)
    try require("rate", rate, 1e-12...1)
    try require("weight-decay", weightDecay, 0...1)
    try require("epochs", Double(epochs), 1...1e6)
    try require("batch", Double(batch), 1...1e6)
    if let filteredTokens { try require("filtered-tokens", Double(filteredTokens), 0...65_536) }
  }

  func options() throws -> RouterAlignment.Training {
    var training = RouterAlignment.Training()
    training.loss.terms = terms
    training.loss.alpha = alpha
    training.loss.margin = margin
    training.loss.tokenPrice = tokenPrice
    training.filteredTextTokens = filteredTokens
    training.rate = rate
    training.weightDecay = weightDecay
    training.epochs = epochs
    training.batch = batch
    training.seed = seed
    training.startsAnew = fromScratch
    training.memoryBudget = try trainingMemory?.budget.byteCount()
    return training
  }
}

/// `1,4,16`.
struct GranularityList: ExpressibleByArgument {
  let tokens: [Int]

  init?(argument: String) {
    let tokens = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard tokens.allSatisfy({ $0.map { $0 > 0 } ?? false }), Set(tokens).count == tokens.count else { return nil }
    self.tokens = tokens.compactMap { $0 }
  }
}

extension RankingLoss.Terms: ExpressibleByArgument {}
