import ArgumentParser
import GristCore

@main
struct Gristmill: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gristmill",
    abstract: "Grinds vision-language checkpoints into small verified files, and runs them.",
    discussion: """
      A checkpoint folder becomes one .grist file with int8 or int4 weights; `verify` shows that the file still makes \
      the reference's router choices and gives its outputs.

      Exit codes: 0 done; 1 verification failed; 64 the request makes no sense; 65 bad input data; 66 an input is not \
      there; 74 reading or writing failed; 130 interrupted.
      """,
    version: "gristmill \(gristmillVersion)",
    subcommands: [Convert.self, Run.self, Record.self, Verify.self, Inspect.self, Bench.self])

  static func main() {
    Interruption.watch()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as GristError {
      Console.error("gristmill: \(error)")
      exitProcess(error.code.rawValue)
    } catch {
      exit(withError: error)
    }
  }
}
