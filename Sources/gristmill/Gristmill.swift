import ArgumentParser
internal import CGristProgram
import Glibc
import GristCore
import GristKernels

@main
struct Gristmill: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gristmill",
    abstract: "Converts vision-language checkpoints into small files, runs them on the CPU, and verifies them.",
    discussion: """
      You get one .grist file with int8 or int4 weights, about half or under a third of a 16-bit checkpoint's size, that \
      needs no other file. `verify` then shows that it still makes the checkpoint's router choices and gives its outputs. To begin with:

        gristmill convert CHECKPOINT -o model.grist
        gristmill verify model.grist --reference CHECKPOINT --probes questions.json
        gristmill run model.grist --image photo.jpg --prompt "What is this?"

      Exit codes: 0 done; 1 verification failed, or a difference was found; 64 the request makes no sense; 65 bad input data; 66 an input is not \
      there; 71 the \
      system refuses memory; 74 reading or writing failed; 130 interrupted.
      """,
    version: "gristmill \(gristmillVersion)",
    subcommands: [
      Convert.self, Calibrate.self, Run.self, Record.self, Verify.self, Evaluate.self, Align.self, Merge.self,
      Inspect.self,
      Diff.self,
      ExportCommand.self,
      Sign.self, VerifySignature.self, Bench.self, ChatCommand.self, Serve.self,
    ])

  static func main() {
    grist_program_is_linked()
    Interruption.watch()
    InputFiles.remember()
    do {
      let arguments = Array(programArguments().dropFirst())
      try RepeatedOptions.refuse(in: arguments)
      try Compute.checkEnvironment()
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch {
      Glibc.exit(report(error))
    }
  }

  /// Says what ended the program; its exit code.
  private static func report(_ error: any Error) -> Int32 {
    do {
      if let error = error as? GristError {
        try Console.error("gristmill: \(error)")
        return error.code.rawValue
      }
      // A request for help is an answer, anything else that the parser throws is not.
      let (code, message) = (exitCode(for: error), fullMessage(for: error))
      if !message.isEmpty {
        try Console.write(
          message + "\n", to: code.isSuccess ? STDOUT_FILENO : STDERR_FILENO,
          code.isSuccess ? "standard output" : "standard error")
      }
      return code.rawValue
    } catch {
      // Standard error may still be there to say that standard output is not.
      try? Console.error("gristmill: \(error)")
      return (error as? GristError)?.code.rawValue ?? GristError.Code.inputOutput.rawValue
    }
  }
}
