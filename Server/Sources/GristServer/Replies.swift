import GristCore
import GristServing
import HTTPTypes
import Hummingbird
import NIOCore

extension Response {
  static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json"],
      body: .init(byteBuffer: ByteBuffer(string: value.text(pretty: false) + "\n")))
  }

  static func failure(_ error: ServingError) -> Response {
    var response = json(error.json, status: .init(code: error.status))
    if error.status == 429 || error.status == 503 { response.headers[.retryAfter] = "1" }
    if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
    return response
  }

  static func text(_ text: String, type: String) -> Response {
    Response(status: .ok, headers: [.contentType: type], body: .init(byteBuffer: ByteBuffer(string: text)))
  }
}

/// Turns what goes wrong into OpenAI's form, asks for a key, and tells browsers who may ask.
struct Gate<Context: RequestContext>: RouterMiddleware {
  let options: ServerOptions
  /// What is open to everybody: whoever watches the server has no key.
  private static var open: Set<String> { ["/health", "/", "/openapi.json"] }

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    var response: Response
    do {
      if request.method == .options, let origin = options.allowedOrigin {
        return Response(
          status: .noContent,
          headers: [
            .accessControlAllowOrigin: origin, .accessControlAllowMethods: "GET, POST, OPTIONS",
            .accessControlAllowHeaders: "authorization, content-type",
          ])
      }
      try authorize(request)
      response = try await next(request, context)
    } catch let error as ServingError {
      response = .failure(error)
    } catch let error as HTTPError {
      response = .failure(ServingError(error.status.code, error.body ?? error.status.reasonPhrase, code: nil))
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      response = .failure(ServingError(error))
    }
    if let origin = options.allowedOrigin { response.headers[.accessControlAllowOrigin] = origin }
    return response
  }

  private func authorize(_ request: Request) throws {
    guard !options.keys.isEmpty, !Self.open.contains(request.uri.path) else { return }
    let given = request.headers[.authorization].map {
      $0.utf8.starts(with: "Bearer ".utf8) ? String($0.dropFirst(7)) : ""
    }
    // Every key is compared whole, so that time tells nothing.
    let isKnown = options.keys.reduce(false) { $0 || isEqual($1, given ?? "") }
    guard isKnown else { throw ServingError(401, "a key is needed: Authorization: Bearer …", code: "invalid_api_key") }
  }

  private func isEqual(_ a: String, _ b: String) -> Bool {
    let (a, b) = (Array(a.utf8), Array(b.utf8))
    var difference = a.count ^ b.count
    for index in a.indices { difference |= Int(a[index] ^ (index < b.count ? b[index] : ~a[index])) }
    return difference == 0
  }
}
