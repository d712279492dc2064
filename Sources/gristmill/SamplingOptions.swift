import ArgumentParser
import GristModel

/// Options of commands that answer.
struct SamplingOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: ArgumentHelp("0 always takes the most likely token.", valueName: "t"))
  var temperature: Float = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sample from the most likely tokens that together have this probability.", valueName: "p"))
  var topP: Float = 1

  @Option(help: ArgumentHelp("Seed for sampling.", valueName: "n"))
  var seed: UInt64 = 0

  /// - Throws: 64 for a temperature or a probability out of range.
  func sampler() throws -> Sampler { try Sampler(temperature: temperature, topP: topP, seed: seed) }
}
