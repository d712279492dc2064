import ArgumentParser
import Foundation
import GristCore
import GristFamilies
import GristKernels
import GristModel

/// Options of every command.
struct GlobalOptions: ParsableArguments {
  @Flag(help: "Print one JSON document on standard output and nothing else.")
  var json = false

  @Option(help: ArgumentHelp("Compute threads.", discussion: "Default: one a core.", valueName: "n"))
  var threads: Int?

  @Flag(help: "Say nothing but the answer.")
  var quiet = false

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be from 1 to 1024, not \(threads)")
    }
  }

  func pool() throws -> ThreadPool {
    try ThreadPool(threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
  }

  /// Says something beside the answer, unless asked to be quiet.
  func note(_ line: String) throws {
    if !quiet { try Console.error(line) }
  }
}

/// Options of commands that read checkpoint folders.
struct CheckpointOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder of the CLIP vision tower, for a checkpoint that lacks its configuration or weights.",
      valueName: "folder"))
  var visionTower: String?

  @Option(
    help: ArgumentHelp("How a checkpoint's tensor names are read, instead of finding out.", valueName: "file"))
  var map: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A key of a checkpoint's config.json that would be refused, and changes nothing. May be repeated; a converted "
        + "file keeps it.",
      valueName: "name"))
  var ignoreKey: [String] = []

  @Option(
    help: ArgumentHelp(
      "How a conversation is written down.",
      discussion: "Default: as the checkpoint says. A converted file keeps it.", valueName: "name"))
  var template: PromptTemplate?

  func reading() throws -> CheckpointReading {
    CheckpointReading(
      visionTower: visionTower,
      choices: ConfigurationChoices(ignoredKeys: Set(ignoreKey), template: template?.rawValue),
      map: try map.map { try NameMap(path: $0) })
  }
}

/// Options of commands that run a model.
struct ComputeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Precision in which activations meet quantized weights: int8 (fast) or f32.", valueName: "int8|f32"))
  var activations: Compute.Activations = .int8

  @Option(
    help: ArgumentHelp(
      "How keys and values are kept: int8 takes half of f16's memory. auto is f16 where int8 activations meet quantized "
        + "weights, else f32.", valueName: "auto|f32|f16|int8"))
  var cache: CacheOption = .auto

  @OptionGroup var checkpoint: CheckpointOptions

  func compute(_ global: GlobalOptions) throws -> Compute {
    Compute(pool: try global.pool(), activations: activations, cache: cache.precision)
  }
}

extension Compute.Activations: ExpressibleByArgument {}

/// "auto", or how keys and values are kept.
enum CacheOption: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, f16, int8
  var precision: CachePrecision? { CachePrecision(rawValue: rawValue) }
}

extension PromptTemplate: ExpressibleByArgument {}

/// How long an answer may be asked to be.
enum AnswerLength {
  /// Far beyond what any model here was trained for; a number above it is a slip of the hand.
  static let greatest = 1_048_576

  static func check(_ tokens: Int, atLeast least: Int) throws {
    if !(least...greatest).contains(tokens) {
      throw ValidationError("--max-new-tokens must be from \(least) to \(greatest), not \(tokens)")
    }
  }
}

/// "auto", or tokens a tile.
enum GranularityOption: ExpressibleByArgument, Equatable {
  case auto
  case forced(Int)

  init?(argument: String) {
    if argument == "auto" {
      self = .auto
    } else if let tokens = Int(argument), tokens > 0 {
      self = .forced(tokens)
    } else {
      return nil
    }
  }

  var defaultValueDescription: String { "auto" }
  var forcedTokens: Int? { if case .forced(let tokens) = self { tokens } else { nil } }
}

/// Options of commands that write a file.
struct OutputOptions: ParsableArguments {
  @Flag(
    help: "Replace an output that is there and is not of the command's own kind, or is protected against writing.")
  var force = false

  /// The file to write, found fit before the work begins.
  ///
  /// - Throws: 64 and 74 as ``AtomicFile`` does.
  func file(_ path: String, _ kind: OutputKind) throws -> AtomicFile {
    try AtomicFile(path: path, kind: kind, forces: force)
  }
}
