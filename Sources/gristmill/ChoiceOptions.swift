import ArgumentParser
import GristCore
import GristKernels
import GristSources
import GristVerification

/// How a file whose choices are exact makes them.
struct ChoiceOptions: ParsableArguments {
  enum Exactness: String, ExpressibleByArgument, CaseIterable { case always, margin }

  @Option(
    help: ArgumentHelp(
      "Of a file with exact choices: always makes them at full precision. margin tries tower and router in int8 first "
        + "and takes that choice where its margin is greater than any question's scores were off in the record inside "
        + "the file; else it asks again at full precision. Only always is exact.", valueName: "always|margin"))
  var exactChoices: Exactness = .always

  func applied(to compute: Compute, _ source: Source) throws -> Compute {
    guard exactChoices == .margin else { return compute }
    let bound = try ChoiceBound(of: source)
    guard let result = compute.tryingChoices(above: bound.margin) else {
      throw GristError(
        .usage, "--exact-choices margin goes with int8 activations", file: source.path,
        advice: "leave one of the two out")
    }
    return result
  }
}
