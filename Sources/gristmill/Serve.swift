import ArgumentParser
import Foundation
import Glibc
import GristCore

struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer questions over HTTP, in OpenAI's form, with a page to look at.",
    discussion: """
      Starts gristmill-server, which stands beside this program or in the PATH and takes the same arguments: \
      `gristmill serve model.grist --help` lists them. It is a package of its own: swift build -c release \
      --package-path Server.
      """)

  @Argument(parsing: .captureForPassthrough, help: "What gristmill-server is told: a model, and options.")
  var arguments: [String] = []

  static let program = "gristmill-server"

  func run() throws {
    let path = Self.candidates.first { access($0, X_OK) == 0 }
    guard let path else {
      throw GristError(
        .missingInput, "\(Self.program) is not there", found: "neither beside this program nor in the PATH",
        advice: "build it with swift build -c release --package-path Server")
    }
    var strings: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
    strings.append(nil)
    execv(path, strings)
    throw GristError(.inputOutput, "\(Self.program) cannot be started: \(String(cString: strerror(errno)))", file: path)
  }

  /// Where the server may stand.
  private static var candidates: [String] {
    let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    let search = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    return ([own.path] + search).map { $0 + "/" + program }
  }
}
