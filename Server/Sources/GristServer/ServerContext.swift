import Hummingbird
import NIOCore

/// What belongs to one request.
public struct ServerContext: RequestContext {
  public var coreContext: CoreRequestContextStorage
  /// Who asks, as far as the connection tells.
  let address: String

  public init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    address = source.channel.remoteAddress?.ipAddress ?? "local"
  }
}
