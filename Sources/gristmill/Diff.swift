import ArgumentParser
import GristCore
import GristKernels
import GristSources
import GristVerification

struct Diff: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell in what two models' weights, or two records of answers, differ.",
    discussion: """
      Models are checkpoints or .grist files, in any combination; tensors meet under their canonical names, whatever they \
      are called and however they are stored. Exit code 0 when all values are equal, or no further apart than --tolerance \
      allows; 1 when something differs.
      """)

  @Argument(help: "A checkpoint folder, a .grist file, or a record.")
  var first: String

  @Argument(help: "Another of them; a record goes with a record.")
  var second: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Tensors count as equal up to this relative error, ‖a − b‖ / ‖a‖.", valueName: "x"))
  var tolerance = 0.0

  @Flag(help: "List every tensor or question, not only those that differ most.")
  var all = false

  @OptionGroup var options: CheckpointOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if !(tolerance >= 0) { throw ValidationError("--tolerance must be 0 or more") }
  }

  func run() throws {
    let sourceOptions = try options.sourceOptions()
    let differs: Bool
    switch try (
      Comparand.open(path: first, options: sourceOptions), Comparand.open(path: second, options: sourceOptions)
    ) {
    case (.model(let a), .model(let b)):
      var bar = ProgressBar(quiet: global.quiet)
      let difference = try ModelDifference(a, b, pool: global.pool()) { bar.show($0, "comparing") }
      bar.clear()
      differs = !difference.differing(beyond: tolerance).isEmpty
      if global.json {
        try Console.print(difference.json(tolerance: tolerance))
      } else {
        try DiffText.show(difference, tolerance: tolerance, all: all, quiet: global.quiet)
      }
    case (.record(let a), .record(let b)):
      let difference = try RecordDifference(a, b)
      differs = !difference.differing.isEmpty
      if global.json {
        try Console.print(difference.json)
      } else {
        try DiffText.show(difference, all: all, quiet: global.quiet)
      }
    default:
      throw GristError(
        .usage, "a record can only be compared with a record", found: "\(first) and \(second)",
        advice: "hold a model to a record with `gristmill verify MODEL --reference RECORD`")
    }
    if differs { throw ExitCode(GristError.Code.disagreement.rawValue) }
  }
}
