import Foundation
import GristCore
import GristModel
import GristServing
import Hummingbird
import Synchronization

/// What answers on a socket: OpenAI's interface, health, measurements, and the page.
public final class Server: Sendable {
  private let engine: Engine
  private let options: ServerOptions
  private let name: String
  private let started = Date.now
  private let registry: PrometheusRegistry
  private let outcome = Mutex(Verified.Outcome(.no))

  /// - Parameters:
  ///   - engine: answers.
  ///   - name: of the model, as clients are told.
  ///   - options: how the server behaves.
  ///   - registry: where the engine's measurements go.
  public init(_ engine: Engine, name: String, options: ServerOptions, registry: PrometheusRegistry) {
    (self.engine, self.name, self.options, self.registry) = (engine, name, options, registry)
  }

  /// Whether the model was verified here, and the report on it.
  public var verification: Verified.Outcome {
    get { outcome.withLock { $0 } }
    set { outcome.withLock { $0 = newValue } }
  }

  public func router() -> Hummingbird.Router<ServerContext> {
    let router = Hummingbird.Router(context: ServerContext.self)
    router.add(middleware: MetricsMiddleware())
    router.add(middleware: Gate(options: options))
    let chat = ChatRoute(engine: engine, name: name, options: options)
    router.post("/v1/chat/completions") { request, context in try await chat.answer(request, context) }
    router.get("/v1/models") { [self] _, _ in Response.json(["object": "list", "data": [model]]) }
    router.get("/v1/models/:id") { [self] _, context in
      guard context.parameters.get("id") == name else {
        throw ServingError(404, "there is no model of that name", parameter: "model", code: "model_not_found")
      }
      return Response.json(model)
    }
    router.get("/health") { [self] _, _ in health() }
    router.get("/props") { [self] _, _ in Response.json(properties) }
    router.get("/metrics") { [self] _, _ in
      Response.text(registry.text(), type: "text/plain; version=0.0.4; charset=utf-8")
    }
    router.get("/verification") { [self] _, _ in
      guard let page = verification.page else {
        throw ServingError(404, "the model was not verified here; start the server with --verify", code: "not_verified")
      }
      var report = Response.text(page, type: "text/html; charset=utf-8")
      report.headers[.contentSecurityPolicy] =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      return report
    }
    router.get("/openapi.json") { _, _ in
      Response.text(String(decoding: PackageResources.openapi_json, as: UTF8.self), type: "application/json")
    }
    router.get("/") { _, _ in
      var page = Response.text(
        String(decoding: PackageResources.index_html, as: UTF8.self), type: "text/html; charset=utf-8")
      // Nothing from elsewhere, and nobody's frame.
      page.headers[.contentSecurityPolicy] =
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      return page
    }
    return router
  }

  private var model: JSONValue {
    [
      "id": JSONValue(name), "object": "model", "created": JSONValue(Int(started.timeIntervalSince1970)),
      "owned_by": "gristmill",
    ]
  }

  private func health() -> Response {
    var object: JSONObject = ["verification": verification.verified.json]
    switch engine.state {
    case .ready:
      object["status"] = "ready"
      return .json(.object(object))
    case .loading:
      object["status"] = "loading"
      return .json(.object(object), status: .serviceUnavailable)
    case .failed(let error):
      object["status"] = "failed"
      object["reason"] = JSONValue(error.what)
      return .json(.object(object), status: .serviceUnavailable)
    }
  }

  private var properties: JSONValue {
    guard let model = engine.model else { return ["model": JSONValue(name)] }
    let configuration = model.configuration
    return [
      "model": JSONValue(name), "context": JSONValue(configuration.maximumLength),
      "granularities": JSONValue(configuration.granularities), "sees_images": JSONValue(model.seesImages),
      "has_router": JSONValue(configuration.granularities.count > 1), "template": JSONValue(configuration.format.name),
      "body_limit": JSONValue(options.bodyLimit), "verification": verification.verified.json,
    ]
  }
}
