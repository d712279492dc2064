import Foundation
import GristServer
import GristServing
import GristmillKit
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing

@Suite("Pictures at other addresses") struct RemotePictureTests {
  @Test(
    "only the open internet is asked",
    arguments: [
      ("8.8.8.8", true), ("93.184.216.34", true), ("127.0.0.1", false), ("127.8.8.8", false), ("0.0.0.0", false),
      ("10.0.0.1", false), ("172.16.0.1", false), ("172.31.255.255", false), ("172.32.0.1", true),
      ("192.168.1.1", false), ("192.169.1.1", true), ("169.254.169.254", false), ("100.64.0.1", false),
      ("100.128.0.1", true), ("198.18.0.1", false), ("192.0.2.1", false), ("224.0.0.1", false),
      ("255.255.255.255", false), ("::1", false), ("::", false), ("fe80::1", false), ("fc00::1", false),
      ("fd12:3456::1", false), ("ff02::1", false), ("::ffff:127.0.0.1", false), ("::ffff:8.8.8.8", true),
      ("64:ff9b::10.0.0.1", false), ("2001:db8::1", false), ("2002:7f00:1::1", false), ("2001::1", false),
      ("2606:2800:220:1:248:1893:25c8:1946", true), ("2a00:1450:4001::1", true),
    ])
  func addresses(text: String, isAllowed: Bool) throws {
    #expect(AddressRule.publicAddresses.allows(try SocketAddress(ipAddress: text, port: 80)) == isAllowed)
  }

  /// A server of pictures, and of what is none.
  private static func pictures(_ bytes: [UInt8]) -> Hummingbird.Router<BasicRequestContext> {
    let router = Hummingbird.Router()
    router.get("/a.jpg") { _, _ in Response(status: .ok, body: .init(byteBuffer: ByteBuffer(bytes: bytes))) }
    router.get("/missing") { _, _ in Response(status: .notFound) }
    router.get("/to/:place") { _, context in
      Response(status: .found, headers: [.location: "/" + (context.parameters.get("place") ?? "")])
    }
    router.get("/twice") { _, _ in Response(status: .movedPermanently, headers: [.location: "/to/a.jpg"]) }
    router.get("/round") { _, _ in Response(status: .temporaryRedirect, headers: [.location: "/round"]) }
    router.get("/file") { _, _ in Response(status: .found, headers: [.location: "file:///etc/passwd"]) }
    router.get("/large") { _, _ in
      Response(
        status: .ok,
        body: .init { writer in
          for _ in 0..<100 { try await writer.write(ByteBuffer(repeating: 7, count: 1000)) }
          try await writer.finish(nil)
        })
    }
    router.get("/slow") { _, _ in
      Response(
        status: .ok,
        body: .init { writer in
          for _ in 0..<50 {
            try await writer.write(ByteBuffer(repeating: 7, count: 1))
            try await Task.sleep(for: .milliseconds(100))
          }
          try await writer.finish(nil)
        })
    }
    return router
  }

  @Test("what is there is fetched, and what is too large, too late, elsewhere or not there is refused with a sentence")
  func fetching() async throws {
    let bytes: [UInt8] = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    try await Application(router: Self.pictures(bytes), configuration: .init(address: .hostname("127.0.0.1", port: 0)))
      .test(.live) { client in
        let port = try #require(client.port)
        var remote = RemotePictures()
        remote.rule = .all
        (remote.sizeLimit, remote.timeLimit) = (50_000, 1)
        for path in ["a.jpg", "to/a.jpg", "twice"] {
          let fetched = try await remote.fetch("http://127.0.0.1:\(port)/\(path)", "place")
          #expect(fetched.array == bytes, "\(path)")
        }
        // By a name that is looked up.
        #expect(try await remote.fetch("http://localhost:\(port)/a.jpg", "place").count == 5000)
        for (address, said) in [
          ("http://127.0.0.1:\(port)/missing", "404"), ("http://127.0.0.1:\(port)/round", "more than 3 times"),
          ("http://127.0.0.1:\(port)/file", "none of http or https"), ("http://127.0.0.1:\(port)/large", "50000 bytes"),
          ("http://127.0.0.1:\(port)/slow", "within 1 seconds"), ("http://127.0.0.1:1/a.jpg", "nothing answered"),
          ("http://nowhere.invalid/a.jpg", "not known"), ("ftp://127.0.0.1/a.jpg", "none of http"),
          ("http://u:p@127.0.0.1/a.jpg", "none of http"), ("/a.jpg", "none of http"), ("http://", "none of http"),
          ("http://%6cocalhost:\(port)/a.jpg", "none of http"),
        ] {
          let began = ContinuousClock.now
          let error = await #expect(throws: ServingError.self) { try await remote.fetch(address, "messages[0]") }
          #expect(error?.status == 400 && error?.parameter == "messages[0]", "\(address)")
          #expect(error?.message.contains(said) == true, "\(address): \(error?.message ?? "")")
          #expect(ContinuousClock.now - began < .seconds(4), "\(address)")
        }
        // As it is outside of tests: this machine is not asked, by number, by name or by a detour.
        let outside = RemotePictures()
        for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
          let error = await #expect(throws: ServingError.self) {
            try await outside.fetch("http://\(host):\(port)/a.jpg", "place")
          }
          #expect(
            error?.message.contains("does not go") == true || error?.message.contains("not known") == true, "\(host)")
        }
        var none = remote
        none.parallelLimit = 0
        let full = await #expect(throws: ServingError.self) {
          try await none.fetch("http://127.0.0.1:\(port)/a.jpg", "place")
        }
        #expect(full?.status == 429)
      }
  }
}

@Suite("Measurements") struct PrometheusTests {
  @Test("counters, gauges, timers and dimensions in Prometheus' text")
  func text() {
    let registry = PrometheusRegistry(help: ["a.count": "What is counted."])
    registry.makeCounter(label: "a.count", dimensions: [("path", "/x\"y\n")]).increment(by: 2)
    registry.makeCounter(label: "a.count", dimensions: [("path", "/x\"y\n")]).increment(by: 3)
    registry.makeRecorder(label: "gauge", dimensions: [], aggregate: false).record(Int64(7))
    registry.makeRecorder(label: "gauge", dimensions: [], aggregate: false).record(Int64(4))
    registry.makeTimer(label: "t", dimensions: []).recordNanoseconds(1_500_000_000)
    registry.makeTimer(label: "t", dimensions: []).recordNanoseconds(500_000_000)
    #expect(
      registry.text() == """
        # HELP a_count_total What is counted.
        # TYPE a_count_total counter
        a_count_total{path="/x\\"y\\n"} 5
        # TYPE gauge gauge
        gauge 4
        # TYPE t_seconds summary
        t_seconds_sum 2
        t_seconds_count 2

        """)
  }
}
