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
    let found = try contents(ofFile: path + ".grist")
    #expect(Set(found.keys) == Set(expected.names))
    for (tensor, value) in expected.members {
      let bytes = try #require(Data(base64Encoded: value.string ?? ""))
      #expect(found[tensor] == Array(bytes), "\(tensor)")
    }
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
