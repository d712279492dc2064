import ArgumentParser
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
    exactChoices == .margin ? try compute.tryingChoices(of: source) : compute
  }
}
