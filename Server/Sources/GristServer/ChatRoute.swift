import Foundation
import GristCore
import GristServing
import Hummingbird
import NIOCore

/// `POST /v1/chat/completions`.
struct ChatRoute: Sendable {
  let engine: Engine
  /// The model's, as clients are told.
  let name: String
  let options: ServerOptions

  func answer(_ incoming: Request, _ context: ServerContext) async throws -> Response {
    var incoming = incoming
    let body: ByteBuffer
    if let length = incoming.headers[.contentLength].flatMap({ Int($0) }), length > options.bodyLimit {
      throw tooLarge
    }
    do { body = try await incoming.collectBody(upTo: options.bodyLimit) } catch { throw tooLarge }
    var request = try ChatRequest(
      body: Bytes(Array(body.readableBytesView)), allowsRemotePictures: options.remotePictures != nil)
    if let remote = options.remotePictures {
      for (index, picture) in request.pictures.enumerated() {
        guard let address = picture.address else { continue }
        request.supply(try await remote.fetch(address, picture.place), forPicture: index)
      }
    }
    let id = "chatcmpl-" + UUID().uuidString.lowercased()
    let completion = ChatCompletion(
      id: id, created: Int(Date.now.timeIntervalSince1970), model: name, for: request)
    let events = try engine.ask(request, client: context.address)
    return request.streams
      ? try await stream(events, completion)
      : try await incoming.body.consumeWithCancellationOnInboundClose { _ in try await whole(events, completion) }
  }

  private var tooLarge: ServingError {
    ServingError(413, "the body is larger than \(options.bodyLimit) bytes; send a smaller picture", code: "too_large")
  }

  private func whole(
    _ events: AsyncThrowingStream<AnswerEvent, any Error>, _ completion: ChatCompletion
  ) async throws -> Response {
    var completion = completion
    for try await event in events {
      _ = completion.pieces(for: event)
      if case .ended(let ending) = event { return .json(completion.whole(ending)) }
    }
    throw CancellationError()
  }

  /// Server-sent events. What goes wrong before the first of them has a status of its own.
  private func stream(
    _ events: AsyncThrowingStream<AnswerEvent, any Error>, _ completion: ChatCompletion
  ) async throws -> Response {
    var first = events.makeAsyncIterator()
    guard let beginning = try await first.next() else { throw CancellationError() }
    // An iterator of a stream goes on where another one stopped.
    let body = ResponseBody { writer in
      var completion = completion
      func send(_ document: String) async throws { try await writer.write(ByteBuffer(string: "data: \(document)\n\n")) }
      do {
        for piece in completion.pieces(for: beginning) { try await send(piece.text(pretty: false)) }
        for try await event in events {
          for piece in completion.pieces(for: event) { try await send(piece.text(pretty: false)) }
        }
      } catch let error as ServingError {
        try await send(error.json.text(pretty: false))
      }
      try await send("[DONE]")
      try await writer.finish(nil)
    }
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"], body: body)
  }
}
