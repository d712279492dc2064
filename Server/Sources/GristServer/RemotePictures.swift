import AsyncHTTPClient
import Foundation
import GristCore
import GristServing
import NIOCore
import NIOPosix
import Synchronization

/// Fetches the pictures that requests name by address, within limits of size, time and place.
public struct RemotePictures: Sendable {
  /// The most bytes of a picture's file.
  public var sizeLimit = 20 << 20
  /// Seconds from the first byte out to the last one in, redirections counted in.
  public var timeLimit = 10.0
  /// How often an address may lead to another.
  public var redirectionLimit = 3
  /// How many are fetched at a time.
  public var parallelLimit = 8
  package var rule = AddressRule.publicAddresses
  private let underWay = Slots()

  public init() {}

  private final class Slots: Sendable {
    private let taken = Mutex(0)

    func take(of limit: Int) -> Bool {
      taken.withLock {
        guard $0 < limit else { return false }
        $0 += 1
        return true
      }
    }

    func give() { taken.withLock { $0 -= 1 } }
  }

  /// - Parameters:
  ///   - address: of the picture.
  ///   - place: the request's member that names it, for errors.
  ///
  /// - Throws: 400 for an address that is none, leads where this server does not go, or gives no picture in time; 429
  ///   when too many are fetched already.
  package func fetch(_ address: String, _ place: String) async throws(ServingError) -> Bytes {
    guard underWay.take(of: parallelLimit) else {
      throw ServingError(
        429, "\(parallelLimit) pictures are being fetched already; ask again later", code: "queue_full")
    }
    defer { underWay.give() }
    let deadline = NIODeadline.now() + .milliseconds(Int64(timeLimit * 1000))
    var address = address
    do {
      for _ in 0...redirectionLimit {
        switch try await request(address, deadline) {
        case .picture(let bytes): return bytes
        case .elsewhere(let next): address = next
        }
      }
      throw Refusal("it leads on more than \(redirectionLimit) times")
    } catch let refusal as Refusal {
      throw failure(refusal.reason, place)
    } catch {
      let isLate = NIODeadline.now() >= deadline || error as? HTTPClientError == .deadlineExceeded
      throw failure(isLate ? "it did not come within \(Int(timeLimit)) seconds" : "nothing answered", place)
    }
  }

  private struct Refusal: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  private enum Answer {
    case picture(Bytes)
    case elsewhere(String)
  }

  private func failure(_ reason: String, _ place: String) -> ServingError {
    ServingError(400, "the picture could not be fetched: \(reason)", parameter: place, code: "invalid_image_url")
  }

  private func request(_ address: String, _ deadline: NIODeadline) async throws -> Answer {
    guard let url = URL(string: address), let scheme = url.scheme?.lowercased(),
      let host = url.host(percentEncoded: false),
      // One that is written in two ways might be looked up in another than was checked.
      host == url.host(percentEncoded: true),
      ["http", "https"].contains(scheme), !host.isEmpty, url.user() == nil
    else { throw Refusal("its address is none of http or https") }
    let plain = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
    let number = try await number(of: plain, port: url.port ?? (scheme == "https" ? 443 : 80))
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
    // The address that was checked is the one that is asked, whatever its name becomes meanwhile.
    configuration.dnsOverride = [plain: number]
    configuration.httpVersion = .http1Only
    configuration.connectionPool.retryConnectionEstablishment = false
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
      var request = HTTPClientRequest(url: address)
      request.headers.add(name: "accept", value: "image/jpeg, image/png, image/webp")
      request.headers.add(name: "user-agent", value: "gristmill")
      let response = try await client.execute(request, deadline: deadline)
      let answer = try await read(response, from: url, deadline)
      try await client.shutdown()
      return answer
    } catch {
      try? await client.shutdown()
      throw error
    }
  }

  private func read(
    _ response: HTTPClientResponse, from url: URL, _ deadline: NIODeadline
  ) async throws -> Answer {
    switch response.status.code {
    case 200: break
    case 301, 302, 303, 307, 308:
      guard let next = response.headers.first(name: "location"), let target = URL(string: next, relativeTo: url) else {
        throw Refusal("it leads nowhere")
      }
      return .elsewhere(target.absoluteString)
    default: throw Refusal("the status is \(response.status.code)")
    }
    let tooLarge = Refusal("it has more than \(sizeLimit) bytes")
    if let length = response.headers.first(name: "content-length").flatMap({ Int($0) }), length > sizeLimit {
      throw tooLarge
    }
    var bytes: [UInt8] = []
    for try await piece in response.body {
      guard bytes.count + piece.readableBytes <= sizeLimit else { throw tooLarge }
      guard NIODeadline.now() < deadline else { throw HTTPClientError.deadlineExceeded }
      bytes += piece.readableBytesView
    }
    return .picture(Bytes(bytes))
  }

  /// The address of a host, as a number.
  ///
  /// - Throws: A refusal where it has none, or one that is not to be asked.
  private func number(of host: String, port: Int) async throws -> String {
    let address = try await NIOSingletons.posixBlockingThreadPool.runIfActive {
      do { return try SocketAddress.makeAddressResolvingHost(host, port: port) } catch {
        throw Refusal("its host is not known")
      }
    }
    guard rule.allows(address), let number = address.ipAddress else {
      throw Refusal("its host lies where this server does not go")
    }
    return number
  }
}
