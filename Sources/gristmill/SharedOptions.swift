import ArgumentParser
import Foundation
import GristCore
import GristKernels
import GristModel
import GristSources
import GristTemplates

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
      "How a conversation is written down: \(PromptTemplate.allCases.map(\.rawValue).joined(separator: ", ")), or a file "
        + "with a chat template.",
      discussion: "Default: as the checkpoint says. A converted file keeps it.", valueName: "name|file"))
  var template: String?

  @Flag(help: "Send the words as they are, without a template: for models that were never taught to converse.")
  var raw = false

  @Option(
    help: ArgumentHelp(
      "Whether pictures are turned as their EXIF data say: auto does what the model's own loader does, which is apply in "
        + "transformers and ignore in upstream LLaVA.", valueName: "auto|apply|ignore"))
  var orientation: OrientationOption = .auto

  @Option(
    help: ArgumentHelp(
      "How grids whose cells are no squares are cropped to the picture: as upstream does it, which drops half of it, or "
        + "corrected by the cells' shape. A converted file keeps it.",
      discussion: "Default: upstream, or as a file keeps it.", valueName: "upstream|corrected"))
  var unpadding: UnpaddingOption?

  func validate() throws {
    if raw, template != nil { throw ValidationError("--raw goes without --template") }
  }

  func sourceOptions() throws -> SourceOptions {
    SourceOptions(
      visionTower: visionTower,
      configuration: ConfigurationOptions(
        ignoredKeys: Set(ignoreKey), template: try templateChoice(),
        correctsUnpadding: unpadding.map { $0 == .corrected }, turnsPictures: orientation.turns),
      map: try map.map { try NameMap(path: $0) })
  }

  /// A template's name, or the text of the file that was named.
  private func templateChoice() throws -> String? {
    if raw { return ConversationFormat.rawName }
    guard let template, PromptTemplate(name: template) == nil else { return template }
    guard fileKind(at: template) != nil else {
      throw GristError(
        .missingInput, "no chat template of that name, and no such file", file: template,
        advice: "the names are " + PromptTemplate.allCases.map(\.rawValue).joined(separator: ", "))
    }
    guard let text = try readFile(template, limit: Self.longestTemplate).utf8, ConfigurationOptions.isTemplateText(text)
    else {
      throw GristError(
        .badData, "not a chat template: it holds no {{ and no {%", file: template,
        advice: "pass the template's own text, as chat_template.jinja holds it")
    }
    // What is wrong with it is better said before the work than after.
    _ = try ChatProgram(text, file: template)
    return text
  }

  /// Bytes. The longest that are published take 30 KiB.
  private static let longestTemplate = 1 << 20
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
    let pool = try global.pool()
    do { try Compute.useKeptTuning(threads: pool.threadCount) } catch let error as GristError {
      try global.note("gristmill: \(error); going on without it")
    }
    return Compute(pool: pool, activations: activations, cache: cache.precision)
  }
}

extension Compute.Activations: ExpressibleByArgument {}

/// "auto", or how keys and values are kept.
enum CacheOption: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, f16, int8
  var precision: CachePrecision? { CachePrecision(rawValue: rawValue) }
}

/// Whether pictures are turned as their EXIF data say.
enum OrientationOption: String, ExpressibleByArgument, CaseIterable {
  case auto, apply, ignore
  var turns: Bool? { self == .auto ? nil : self == .apply }
}

enum UnpaddingOption: String, ExpressibleByArgument, CaseIterable {
  case upstream, corrected
}

/// The day that templates are told which write it down.
struct DateOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The day that is told to templates which write it down.", discussion: "Default: today.", valueName: "yyyy-mm-dd"))
  var date: String?

  func validate() throws {
    if let date, ChatProgram.Clock(date: date) == nil {
      throw ValidationError("--date must be a day such as 2026-07-31, not \(date)")
    }
  }

  var clock: ChatProgram.Clock? { date.flatMap { ChatProgram.Clock(date: $0) } ?? .now }
}

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
  case forced(Granularity)

  init?(argument: String) {
    if argument == "auto" {
      self = .auto
    } else if let tokens = Int(argument), tokens > 0 {
      self = .forced(.uniform(tokens))
    } else {
      return nil
    }
  }

  var defaultValueDescription: String { "auto" }
  var forced: Granularity? { if case .forced(let granularity) = self { granularity } else { nil } }
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
