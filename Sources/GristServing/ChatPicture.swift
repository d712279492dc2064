import GristCore
import GristModel

/// A picture of a request: its file, or where the file is to be fetched from.
public struct ChatPicture: Sendable {
  /// Where it is to be fetched; nil for one that came with the request.
  public let address: String?
  /// Nil until it was fetched.
  public internal(set) var bytes: Bytes?
  /// The member of the request that names it.
  public let place: String

  init(_ picture: MessageList.Picture, allowsRemote: Bool) throws(ServingError) {
    guard case .address(let address) = picture.source else {
      throw .unsupported(
        picture.place, "\(picture.place): files of the host are not read; send a data: URL with base64")
    }
    place = "\(picture.place).image_url.url"
    if address.utf8.starts(with: "data:".utf8) {
      self.address = nil
      do { bytes = try DataURL.bytes(address) } catch { throw .invalid(place, error.sentence) }
    } else {
      guard allowsRemote else {
        throw .unsupported(place, "pictures at other addresses are not fetched: send a data: URL with base64")
      }
      self.address = address
    }
  }
}
