import Foundation
import GristServer
import GristmillKit
import Hummingbird
import HummingbirdTesting
import Testing

@Suite("The server's routes") struct RouteTests {
  private static let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  private static let fixtures = repository.appendingPathComponent("Tests/Fixtures/conformance").path

  private func client(
    _ options: ServerOptions = ServerOptions(), _ body: @Sendable (any TestClientProtocol) async throws -> Void
  ) async throws {
    let registry = PrometheusRegistry(help: Engine.measurements)
    let engine = try Engine(metrics: registry) {
      try Source.open(path: Self.fixtures + "/small-f32").model(compute: Compute(pool: ThreadPool(threads: 2)))
    }
    defer { engine.stop() }
    for _ in 0..<500 {
      if case .ready = engine.state { break }
      try await Task.sleep(for: .milliseconds(10))
    }
    let server = Server(engine, name: "small", options: options, registry: registry)
    try await Application(router: server.router()).test(.router) { try await body($0) }
  }

  private static func ask(_ members: String) -> ByteBuffer {
    ByteBuffer(
      string: #"{"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4\#(members)}"#)
  }

  @Test("an answer, whole and streamed: the same text")
  func answers() async throws {
    try await client { client in
      let whole = try await client.execute(uri: "/v1/chat/completions", method: .post, body: Self.ask("")) { response in
        #expect(response.status == .ok)
        return try JSONValue.parse(Bytes(Array(response.body.readableBytesView)))
      }
      let text = whole["choices"]?.array?.first?["message"]?["content"]?.string
      #expect(text?.isEmpty == false)
      try await client.execute(uri: "/v1/chat/completions", method: .post, body: Self.ask(#", "stream": true"#)) {
        response in
        #expect(response.headers[.contentType]?.hasPrefix("text/event-stream") == true)
        let events = String(buffer: response.body).components(separatedBy: "\n\n").filter { !$0.isEmpty }
        #expect(events.last == "data: [DONE]" && events.allSatisfy { $0.hasPrefix("data: ") })
        let pieces = try events.dropLast().map { try JSONValue.parse(Bytes(Array($0.utf8.dropFirst(6)))) }
        let streamed = pieces.compactMap { $0["choices"]?.array?.first?["delta"]?["content"]?.string }.joined()
        #expect(streamed == text)
      }
    }
  }

  @Test("models, health, properties, measurements, the interface and the page")
  func others() async throws {
    try await client { client in
      for (path, said) in [
        ("/v1/models", "\"id\":\"small\""), ("/v1/models/small", "\"object\":\"model\""),
        ("/health", "\"status\":\"ready\""), ("/health", "not verified"), ("/props", "\"granularities\":["),
        ("/metrics", "# TYPE gristmill_requests_total counter"), ("/openapi.json", "createChatCompletion"),
        ("/", "<!doctype html>"),
      ] {
        try await client.execute(uri: path, method: .get) { response in
          #expect(response.status == .ok && String(buffer: response.body).contains(said), "\(path)")
        }
      }
    }
  }

  @Test("the report of a verification is a page, and is not there before")
  func verification() async throws {
    let engine = try Engine {
      try Source.open(path: Self.fixtures + "/small-f32").model(compute: Compute(pool: ThreadPool(threads: 2)))
    }
    defer { engine.stop() }
    let server = Server(engine, name: "small", options: ServerOptions(), registry: PrometheusRegistry())
    try await Application(router: server.router()).test(.router) { client in
      try await client.execute(uri: "/verification", method: .get) { #expect($0.status == .notFound) }
      server.verification = .init(.yes(date: "2026-07-31", record: "r"), page: "<!doctype html>report")
      try await client.execute(uri: "/verification", method: .get) { response in
        #expect(response.status == .ok && String(buffer: response.body).hasSuffix("report"))
        #expect(response.headers[.contentSecurityPolicy]?.contains("default-src 'none'") == true)
      }
      try await client.execute(uri: "/health", method: .get) {
        #expect(String(buffer: $0.body).contains("\"state\":\"verified\""))
      }
    }
  }

  @Test("refusals have OpenAI's shape and the right status")
  func refusals() async throws {
    var options = ServerOptions()
    options.bodyLimit = 1000
    try await client(options) { client in
      for (path, method, body, status) in [
        ("/v1/chat/completions", HTTPRequest.Method.post, "{", 400), ("/v1/chat/completions", .post, "", 400),
        ("/v1/chat/completions", .post, String(repeating: " ", count: 2000), 413), ("/v1/models/other", .get, "", 404),
        ("/nothing", .get, "", 404), ("/v1/chat/completions", .get, "", 404),
      ] {
        try await client.execute(uri: path, method: method, body: ByteBuffer(string: body)) { response in
          #expect(response.status.code == status, "\(path) \(response.status)")
          let error = try JSONValue.parse(Bytes(Array(response.body.readableBytesView)))["error"]
          #expect(error?["message"]?.string?.isEmpty == false && error?["type"]?.string == "invalid_request_error")
        }
      }
    }
  }

  @Test("a key is asked for, and no other origin is let in unless it is said")
  func keys() async throws {
    var options = ServerOptions()
    options.keys = ["first", "second"]
    try await client(options) { client in
      for (key, status) in [
        (nil, 401), ("Bearer first", 200), ("Bearer second", 200), ("Bearer sec", 401), ("first", 401),
      ] as [(String?, Int)] {
        var headers = HTTPFields()
        headers[.authorization] = key
        try await client.execute(uri: "/v1/models", method: .get, headers: headers) { response in
          #expect(response.status.code == status && response.headers[.accessControlAllowOrigin] == nil)
        }
      }
      try await client.execute(uri: "/health", method: .get) { #expect($0.status == .ok) }
    }
    options.keys = []
    options.allowedOrigin = "https://example.org"
    try await client(options) { client in
      try await client.execute(uri: "/v1/models", method: .options) { response in
        #expect(response.headers[.accessControlAllowOrigin] == "https://example.org")
      }
    }
  }
}
