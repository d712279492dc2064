import Foundation
import GristConversion
import GristCore
import GristFormat
import GristKernels
import GristSigning
import GristSources
import TestSupport
import Testing

/// Bundles of `Tests/Fixtures/signing` were made by the package model_signing 1.1.1, keys by openssl.
@Suite("Signatures of models") struct SigningTests {
  let folder = try! TemporaryFolder()

  private static func fixture(_ name: String) -> String { Fixtures.path("signing/" + name) }

  private func sign(_ path: String, key: String = "key.pem", ignoring: [String] = [], to name: String = "m.sig") throws
  {
    try Signing(key: Self.fixture(key), ignoring: ignoring)
      .sign(path, to: AtomicFile(path: folder.file(name), kind: .signature, forces: true))
  }

  @discardableResult
  private func verify(
    _ path: String, key: String = "public.pem", ignoring: [String] = [], others: Bool = false, _ name: String = "m.sig"
  ) throws -> Int {
    try SignatureVerification(.key(Self.fixture(key)), ignoring: ignoring, allowsOtherFiles: others)
      .verify(path, signature: folder.file(name))
  }

  private func failure(_ body: () throws -> Void) throws -> GristError {
    try #require(throws: GristError.self) { try body() }
  }

  private func model() throws -> String {
    try folder.write("model/a.bin", [1, 2, 3])
    try folder.write("model/deep/b.bin", [])
    try folder.write("model/.git/x", [1])
    return folder.file("model")
  }

  @Test("what the package model_signing signed is verified: a folder and a file, by a key and by a certificate")
  func others() throws {
    let folder = Self.fixture("model")
    for (signature, path) in [("folder-key.sig", folder), ("file-key.sig", folder + "/weights.bin")] {
      let files = try SignatureVerification(.key(Self.fixture("public.pem")))
        .verify(path, signature: Self.fixture(signature))
      #expect(files == (path == folder ? 2 : 1))
    }
    // Of a certificate that is valid until 2126.
    let trusted = SignatureVerification(.authorities([Self.fixture("authority.pem")]))
    #expect(try trusted.verify(folder, signature: Self.fixture("folder-certificate.sig")) == 2)
    let other = SignatureVerification(.authorities([Self.fixture("other-authority.pem")]))
    let error = try failure { _ = try other.verify(folder, signature: Self.fixture("folder-certificate.sig")) }
    #expect(error.code == .disagreement && error.what.contains("leads to none that is trusted"))
  }

  @Test("signed and verified, on each curve", arguments: ["", "384-", "521-"])
  func roundTrip(curve: String) throws {
    let path = try model()
    try sign(path, key: curve + "key.pem")
    #expect(try verify(path, key: curve + "public.pem") == 2)
    let other = curve.isEmpty ? "384-public.pem" : "public.pem"
    #expect(try failure { try verify(path, key: other) }.code == .disagreement)
  }

  @Test("a byte changed, a file more, less or empty, a link: each is told by name")
  func changes() throws {
    let path = try model()
    try sign(path)
    try folder.write("model/a.bin", [1, 2, 4])
    var error = try failure { try verify(path) }
    #expect(error.code == .disagreement && error.what == "the file is not what was signed")
    #expect(error.file?.hasSuffix("model/a.bin") == true)
    try folder.write("model/a.bin", [1, 2, 3])
    try verify(path)
    try folder.write("model/c", [])
    error = try failure { try verify(path) }
    #expect(error.what == "a file is there that was not signed" && error.file?.hasSuffix("model/c") == true)
    #expect(try verify(path, others: true) == 2)
    #expect(try verify(path, ignoring: ["c"]) == 2)
    #expect(try verify(path, ignoring: [path + "/c"]) == 2)
    #expect(try failure { try verify(path, ignoring: ["/etc"]) }.code == .usage)
    try FileManager.default.removeItem(atPath: path + "/c")
    try FileManager.default.removeItem(atPath: path + "/deep/b.bin")
    error = try failure { try verify(path) }
    #expect(error.what == "a file that was signed is not there" && error.found == "deep/b.bin")
    try folder.link("model/deep/b.bin", to: "../a.bin")
    #expect(try failure { try verify(path) }.what == "a link in the model: signatures are of files")
    #expect(try failure { try sign(path) }.code == .badData)
  }

  @Test("a signature inside of the model is no part of it")
  func inside() throws {
    let path = try model()
    try sign(path, to: "model/model.sig")
    #expect(try verify(path, "model/model.sig") == 2)
  }

  @Test("a bundle with any one byte changed verifies nothing else")
  func bundles() throws {
    let path = try model()
    try sign(path)
    let bytes = try readFile(folder.file("m.sig")).array
    let text = String(decoding: bytes, as: UTF8.self)
    func range(_ member: String) throws -> Range<Int> {
      let start = try #require(text.range(of: "\"\(member)\":\"")).upperBound
      let end = try #require(text[start...].firstIndex(of: "\""))
      return text.utf8.distance(from: text.startIndex, to: start)..<text.utf8.distance(from: text.startIndex, to: end)
    }
    let signed = try ["payload", "sig", "mediaType", "payloadType", "hint"].map(range)
    for place in bytes.indices {
      var changed = bytes
      changed[place] ^= 1
      try folder.write("changed.sig", changed)
      guard let files = try? verify(path, "changed.sig") else { continue }
      // What may change are names and values that nobody asks, and the bits of a last digit that stand for nothing.
      #expect(files == 2 && !signed.contains { $0.contains(place) && place < $0.upperBound - 3 }, "byte \(place)")
    }
    for text in ["", "{}", #"{"mediaType":"text/plain"}"#, "[1]"] {
      try folder.write("changed.sig", Array(text.utf8))
      #expect(try failure { try verify(path, "changed.sig") }.code == .badData)
    }
  }

  @Test("nothing to sign, no key, a key with a certificate that is not its own")
  func refused() throws {
    try FileManager.default.createDirectory(atPath: folder.file("empty"), withIntermediateDirectories: true)
    #expect(try failure { try sign(folder.file("empty")) }.what == "there is no file to sign")
    #expect(try failure { try sign(folder.file("none")) }.code == .missingInput)
    #expect(try failure { try sign(model(), key: "public.pem") }.what.hasPrefix("not a private key in PEM"))
    #expect(
      try failure { _ = try Signing(key: Self.fixture("384-key.pem"), certificate: Self.fixture("certificate.pem")) }
        .what
        == "the certificate is not of this key")
    #expect(folder.contents.allSatisfy { !$0.hasSuffix(".sig") })
  }
}

@Suite("Signatures inside of a .grist file") struct IndexSignatureTests {
  let folder = try! TemporaryFolder()

  private static func fixture(_ name: String) -> String { Fixtures.path("signing/" + name) }

  private func file() throws -> String {
    let path = folder.file("m.grist")
    let source = try Source.open(path: Fixtures.path("checkpoints/crop"))
    let recipe = try Recipe(.source)
    let plan = try ConversionPlan(source, recipe: recipe)
    _ = try Converter(pool: ThreadPool(threads: 1), packing: .raw).convert(
      source, plan: plan, recipe: recipe, to: path)
    return path
  }

  private func open(_ path: String, key: String = "public.pem") throws -> GristFile {
    try IndexSignature.open(path, by: SignatureVerification.Signer(path: Self.fixture(key)))
  }

  private func readAll(_ file: GristFile) throws {
    for record in file.manifest.tensors {
      for chunk in record.chunks.range { _ = try file.payload(ofChunk: chunk) }
    }
    for record in file.manifest.files { _ = try file.sideFile(named: record.name) }
  }

  @Test("signed, opened by the signer's key alone; signed again, by another too")
  func signed() throws {
    let path = try file()
    #expect(try #require(throws: GristError.self) { try open(path) }.what == "the file has no signature inside")
    try IndexSignature.add(to: path, by: Signing(key: Self.fixture("key.pem")))
    try readAll(open(path))
    try readAll(GristFile(path: path))
    #expect(try #require(throws: GristError.self) { try open(path, key: "384-public.pem") }.code == .disagreement)
    try IndexSignature.add(
      to: path,
      by: Signing(
        key: Self.fixture("key.pem"), certificate: Self.fixture("certificate.pem"),
        authorities: [Self.fixture("authority.pem")]))
    try readAll(open(path, key: "authority.pem"))
    #expect(try #require(throws: GristError.self) { try open(path, key: "other-authority.pem") }.code == .disagreement)
    #expect(try #require(throws: GristError.self) { try open(path) }.code == .badData)
  }

  @Test("what was added after the signature cannot be used, until it is signed")
  func added() throws {
    let path = try file()
    let signing = try Signing(key: Self.fixture("key.pem"))
    // One that was there, and one that was not.
    for name in ["config.json", "tokenizer.json"] {
      try IndexSignature.add(to: path, by: signing)
      try Addition(to: GristFile(path: path)).finish(
        adding: name, Bytes(Array("{}".utf8)), sha256: "", segment: "files")
      let error = try #require(throws: GristError.self) { try open(path) }
      #expect(error.what == "something in the file is not what it was when it was signed" && error.found == name)
      try IndexSignature.add(to: path, by: signing)
      try readAll(open(path))
    }
  }

  @Test("a byte changed behind a right checksum is found when it is used, and before anything of it is")
  func changed() throws {
    let path = try file()
    try IndexSignature.add(to: path, by: Signing(key: Self.fixture("key.pem")))
    var bytes = try readFile(path).array
    // The first chunk's first byte, its checksum in the current table made right, and the checksums above that.
    let slot = 8192
    func integer(_ offset: Int) -> Int { (0..<8).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }
    func set(_ offset: Int, _ value: UInt64) {
      for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
    }
    let (end, start, length) = (integer(slot + 8), integer(slot + 16), integer(slot + 24))
    let table = (start + length + 63) / 64 * 64
    let (offset, stored) = (integer(table), integer(table + 8) & 0xffff_ffff)
    bytes[offset] ^= 1
    set(table + 16, checksum(Bytes(Array(bytes[offset..<offset + stored]))))
    set(slot + 48, checksum(Bytes(Array(bytes[start..<end]))))
    set(slot + 56, checksum(Bytes(Array(bytes[slot..<slot + 56]))))
    try folder.write("changed.grist", bytes)
    // Without asking, nothing is wrong with it.
    try readAll(GristFile(path: folder.file("changed.grist")))
    let error = try #require(throws: GristError.self) { try readAll(open(folder.file("changed.grist"))) }
    #expect(error.code == .badData && error.what == "something in the file is not what it was when it was signed")
  }
}
