/// How the server behaves towards its clients.
public struct ServerOptions: Sendable {
  /// The most bytes of a request's body: a picture in base64 takes four thirds of its file.
  public var bodyLimit = 32 << 20
  /// Keys of which a request must bring one; empty lets everybody in.
  public var keys: [String] = []
  /// A page of another origin that may ask from a browser; nil lets none.
  public var allowedOrigin: String?
  /// How pictures at other addresses are fetched; nil refuses them.
  public var remotePictures: RemotePictures?

  public init() {}
}
