import NIOCore

/// Which addresses a server fetches from because somebody named them: those of the open internet, so that nobody reaches
/// what only this machine can reach (request forgery, CWE-918).
public struct AddressRule: Sendable {
  private let rule: @Sendable ([UInt8]) -> Bool

  /// The open internet: no address of IANA's registries for special purposes (RFC 6890).
  public static let publicAddresses = AddressRule { bytes in
    switch bytes.count {
    case 4: isPublic(version4: bytes)
    case 16: isPublic(version6: bytes)
    default: false
    }
  }

  /// All there are, for tests.
  package static let all = AddressRule { _ in true }

  package func allows(_ address: SocketAddress) -> Bool {
    switch address {
    case .v4(let address):
      withUnsafeBytes(of: address.address.sin_addr) { rule(Array($0)) }
    case .v6(let address):
      withUnsafeBytes(of: address.address.sin6_addr) { rule(Array($0)) }
    case .unixDomainSocket: false
    }
  }

  private static func isPublic(version4 b: [UInt8]) -> Bool {
    switch (b[0], b[1], b[2]) {
    case (0, _, _), (10, _, _), (127, _, _): false
    case (100, 64...127, _), (169, 254, _), (172, 16...31, _), (192, 168, _): false
    // Protocols, documentation, relays, benchmarks.
    case (192, 0, 0), (192, 0, 2), (198, 51, 100), (203, 0, 113), (192, 88, 99), (198, 18...19, _): false
    // Multicast and what is reserved.
    case (224...255, _, _): false
    default: true
    }
  }

  private static func isPublic(version6 b: [UInt8]) -> Bool {
    // ::ffff:0:0/96 and 64:ff9b::/96 hold an address of version 4.
    let mapped = b[0..<10].allSatisfy { $0 == 0 } && b[10] == 0xff && b[11] == 0xff
    let translated = b[0..<4].elementsEqual([0, 0x64, 0xff, 0x9b]) && b[4..<12].allSatisfy { $0 == 0 }
    if mapped || translated { return isPublic(version4: Array(b[12...])) }
    // Of what is given out, 2000::/3; in it Teredo, documentation, 6to4 and the like.
    guard b[0] & 0xe0 == 0x20 else { return false }
    if b[0] == 0x20, b[1] == 0x01, b[2] < 0x02 { return false }
    if b[0] == 0x20, b[1] == 0x01, b[2] == 0x0d, b[3] == 0xb8 { return false }
    if b[0] == 0x20, b[1] == 0x02 { return false }
    return !(b[0] == 0x3f && b[1] == 0xff)
  }

  private init(_ rule: @escaping @Sendable ([UInt8]) -> Bool) { self.rule = rule }
}
