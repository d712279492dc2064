import Foundation
import GristCore
import GristFormat
import TestSupport
import Testing

/// The files of Formats/accept and Formats/reject, which Tools/formats/write_golden.py wrote independently.
@Suite("Golden files") struct GoldenFileTests {
  private static let formats = URL(fileURLWithPath: Fixtures.folder).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Formats").path

  private static func names(_ folder: String) -> [String] {
    let contents = (try? folderContents(joinPath(formats, folder))) ?? []
    return contents.filter { $0.hasSuffix(".grist") }.map { String($0.dropLast(6)) }
  }

  @Test("there are files of both kinds")
  func present() {
    #expect(Self.names("accept").count >= 6)
    #expect(Self.names("reject").count >= 30)
  }

  @Test("accepted, with exactly the expected bytes", arguments: names("accept"))
  func accepted(name: String) throws {
    let path = "\(Self.formats)/accept/\(name)"
    let expected = try #require(JSONValue.parse(readFile(path + ".json")).object)
    let file = try GristFile(path: path + ".grist")
    let names = file.manifest.tensors.map(\.name) + file.manifest.files.map { "file " + $0.name }
    #expect(Set(names) == Set(expected.names))
    for tensor in file.manifest.tensors {
      if let words = expected[tensor.name]?["unusable"]?.string {
        let error = #expect(throws: GristError.self) { try payload(of: tensor, in: file) }
        #expect(error?.code == .badData && error?.file == path + ".grist" && error?.tensor == tensor.name)
        #expect(error?.what.contains(words) == true, "\(tensor.name): \(error?.what ?? "")")
      } else {
        let bytes = try #require(Data(base64Encoded: expected[tensor.name]?.string ?? ""))
        #expect(try payload(of: tensor, in: file) == Array(bytes), "\(tensor.name)")
      }
    }
    for record in file.manifest.files {
      let bytes = try #require(Data(base64Encoded: expected["file " + record.name]?.string ?? ""))
      #expect(try file.sideFile(named: record.name)?.array == Array(bytes), "\(record.name)")
    }
    for (chunk, tensor) in file.tensorOfEachChunk.enumerated() { try file.check(chunk: chunk, of: tensor) }
  }

  @Test("rejected with 65 and the expected words", arguments: names("reject"))
  func rejected(name: String) throws {
    let path = "\(Self.formats)/reject/\(name).grist"
    let expected = try JSONValue.parse(readFile("\(Self.formats)/reject/expected.json"))
    let words = try #require(expected[name]?.string, "no words are expected of \(name)")
    let error = #expect(throws: GristError.self) { _ = try contents(ofFile: path) }
    #expect(error?.code == .badData)
    #expect(error?.file == path)
    #expect(error?.what.contains(words) == true, "\(error?.what ?? "")")
  }

  @Test("every expected refusal has its file")
  func complete() throws {
    let expected = try JSONValue.parse(readFile("\(Self.formats)/reject/expected.json"))
    #expect(Set(expected.object?.names ?? []) == Set(Self.names("reject")))
  }
}
