import ArgumentParser
import Foundation
import GristServer
import GristmillKit
import Hummingbird
import Logging
import Metrics

@main
struct GristmillServer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gristmill-server",
    abstract: "Answer questions over HTTP, in OpenAI's form; `gristmill serve` starts it.",
    discussion: """
      Listens on this machine alone unless --host says otherwise. One model answers all clients; pictures and the \
      beginnings of prompts that come again are not computed again.
      """)

  @Argument(help: "A .grist file, or a checkpoint folder.")
  var model: String

  @Option(help: ArgumentHelp("Address to listen on.", valueName: "address"))
  var host = "127.0.0.1"

  @Option(help: ArgumentHelp("Port to listen on.", valueName: "n"))
  var port = 8080

  @Option(help: ArgumentHelp("Answers under way at a time, decoded together.", valueName: "n"))
  var parallel = 4

  @Option(help: ArgumentHelp("Requests that may wait.", valueName: "n"))
  var queue = 64

  @Option(help: ArgumentHelp("Longest answer where a request does not say.", valueName: "n"))
  var maxNewTokens = 512

  @Option(help: ArgumentHelp("Memory for pictures and prompts that may come again: 1GiB, 500MB.", valueName: "size"))
  var keep: Size = Size(bytes: 1 << 30)

  @Option(
    help: ArgumentHelp(
      "Memory to keep to, --keep counted in: weights that do not fit are read again for every token. auto is what the "
        + "machine and the process's control groups leave.", valueName: "size|auto"))
  var memoryBudget: String?

  @Option(
    help: ArgumentHelp(
      "Rows of prompt and answer together, at most.", discussion: "Default: the model's context.", valueName: "rows"))
  var context: Int?

  @Option(help: ArgumentHelp("Largest body of a request.", valueName: "size"))
  var maxBody: Size = Size(bytes: 32 << 20)

  @Option(help: ArgumentHelp("File with a key a line, one of which requests must bring.", valueName: "file"))
  var apiKeyFile: String?

  @Option(help: ArgumentHelp("A page of another origin that may ask from a browser.", valueName: "origin"))
  var allowOrigin: String?

  @Flag(
    help:
      "Fetch pictures that requests name by address: from the open internet alone, 20 MiB and 10 seconds at most.")
  var allowRemoteImages = false

  @Flag(help: "Verify the model with the record inside it before anything is answered; /health tells the outcome.")
  var verify = false

  @Option(help: ArgumentHelp("How activations meet quantized weights: int8, f32.", valueName: "type"))
  var activations: String = "int8"

  @Option(
    help: ArgumentHelp(
      "How a file with exact choices makes them: always at full precision, or in int8 where the margin allows it.",
      valueName: "always|margin"))
  var exactChoices: String = "always"

  @Option(help: ArgumentHelp("Compute threads.", discussion: "Default: one a core.", valueName: "n"))
  var threads: Int?

  struct Size: ExpressibleByArgument {
    let bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
      guard case .bytes(let bytes)? = MemoryBudget(argument) else { return nil }
      self.bytes = bytes
    }

    var defaultValueDescription: String { "\(bytes >> 20)MiB" }
  }

  func validate() throws {
    guard ["always", "margin"].contains(exactChoices) else {
      throw ValidationError("--exact-choices must be always or margin, not \(exactChoices)")
    }
    guard Compute.Activations(rawValue: activations) != nil else {
      throw ValidationError("--activations must be int8 or f32, not \(activations)")
    }
    guard (1...65535).contains(port) || port == 0 else { throw ValidationError("--port must be from 0 to 65535") }
    guard (1...31).contains(parallel) else { throw ValidationError("--parallel must be from 1 to 31") }
    guard queue >= 1, maxNewTokens >= 1 else { throw ValidationError("--queue and --max-new-tokens must be 1 or more") }
    if let memoryBudget, MemoryBudget(memoryBudget) == nil {
      throw ValidationError("--memory-budget must be a size such as 2GiB, or auto, not \(memoryBudget)")
    }
    guard (context ?? 1) >= 1 else { throw ValidationError("--context must be 1 or more") }
    guard (threads ?? 1) >= 1 else { throw ValidationError("--threads must be 1 or more") }
  }

  func run() async throws {
    do { try await serve() } catch let error as GristError {
      FileHandle.standardError.write(Data("gristmill-server: \(error)\n".utf8))
      throw ExitCode(error.code.rawValue)
    }
  }

  private func serve() async throws {
    var options = ServerOptions()
    options.bodyLimit = maxBody.bytes
    options.allowedOrigin = allowOrigin
    options.remotePictures = allowRemoteImages ? RemotePictures() : nil
    options.keys = try apiKeyFile.map(keys) ?? []
    var limits = Engine.Limits()
    (limits.parallel, limits.queue, limits.maxTokens, limits.memory) = (parallel, queue, maxNewTokens, keep.bytes)
    let source = try Source.open(path: model)
    let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
    do { try Compute.useKeptTuning(threads: threads) } catch let error as GristError {
      FileHandle.standardError.write(Data("gristmill-server: \(error); going on without it\n".utf8))
    }
    let plain = Compute(
      pool: try ThreadPool(threads: threads), activations: Compute.Activations(rawValue: activations) ?? .int8)
    let compute = try exactChoices == "margin" ? plain.tryingChoices(of: source) : plain
    let verified = VerifiedBox()
    let verifies = verify
    limits.context = context
    let budget = try memoryBudget.flatMap { MemoryBudget($0) }.map { max(try $0.byteCount() - keep.bytes, 1) }
    let opened = try source.model(compute: compute)
    // Said before anything listens.
    let plan = try budget.map { budget in
      let rows = context ?? opened.configuration.maximumLength
      return try MemoryPlan(
        opened.memoryNeeds(), opened.memoryRequest(context: rows, sequences: parallel), budget: budget)
    }
    if let plan { limits.parallel = plan.sequences }
    let registry = PrometheusRegistry(help: Engine.measurements)
    MetricsSystem.bootstrap(registry)
    let engine = try Engine(limits: limits) {
      let model = try plan.map { try opened.running($0) } ?? opened
      if verifies { try verified.verify(source, compute) }
      return model
    }
    let name = URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
    let server = Server(engine, name: name, options: options, registry: registry)
    verified.server = server
    var logger = Logger(label: "gristmill-server")
    logger.logLevel = .warning
    let (host, port) = (host, port)
    let application = Application(
      router: server.router(),
      configuration: .init(address: .hostname(host, port: port), serverName: "gristmill"),
      onServerRunning: { channel in
        let place = channel.localAddress?.port ?? port
        FileHandle.standardError.write(Data("listening on http://\(host):\(place)\n".utf8))
      },
      logger: logger)
    try await application.runService()
    engine.stop()
  }

  private func keys(_ path: String) throws -> [String] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw GristError(.missingInput, "the file of keys cannot be read", file: path)
    }
    let keys = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    guard !keys.isEmpty else {
      throw GristError(.badData, "the file of keys has none", file: path, advice: "write a key on a line")
    }
    return keys
  }
}
