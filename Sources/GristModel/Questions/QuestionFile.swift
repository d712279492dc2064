import Foundation
import GristCore
import GristSources

extension Question {
  /// Reads a probes file, `[{"image": "china.jpg", "prompt": "…", "answer": "…"}, …]`, where `"messages"` may stand for
  /// `"image"` and `"prompt"`. Images that are not absolute paths are relative to it; they and answers may be absent.
  ///
  /// - Throws: 66 for a missing file or image, 65 for a file of another form.
  public static func read(path: String) throws -> [Question] {
    let document = try locating(file: path) { try JSONValue.parse(readFile(path, limit: fileLimit)) }
    guard let array = document.array, !array.isEmpty else {
      throw GristError(.badData, "a probes file must be a list of questions that is not empty", file: path)
    }
    var pictures = PictureFiles(folder: folderName(of: path))
    return try array.enumerated().map { index, value in
      try Question(probe: JSONReader(value, file: "\(path), probe \(index)"), &pictures)
    }
  }

  /// Reads a conversation that waits for its answer: the list of its messages, or an object whose `"messages"` are that.
  ///
  /// - Throws: 66 for a missing file or image, 65 for a file of another form.
  public static func read(conversation path: String) throws -> Question {
    let document = try locating(file: path) { try JSONValue.parse(readFile(path, limit: fileLimit)) }
    var pictures = PictureFiles(folder: folderName(of: path))
    if document.array != nil { return try Question(document, file: path, answer: nil, &pictures) }
    let json = try JSONReader(document, file: path)
    try json.requireMembers(of: "a conversation", ["messages"], "it has \"messages\"")
    return try Question(json.value("messages"), file: path, answer: nil, &pictures)
  }

  private static let fileLimit = 64 << 20

  private init(probe json: JSONReader, _ pictures: inout PictureFiles) throws {
    // A misspelt "image" would make another question of it.
    try json.requireMembers(
      of: "a probe", ["image", "prompt", "answer", "messages"],
      "a probe has \"prompt\" and may have \"image\", or has \"messages\"; it may have \"answer\"")
    let answer = json.has("answer") ? try json.string("answer") : nil
    if json.has("messages") {
      guard !json.has("image"), !json.has("prompt") else {
        throw GristError(
          .badData, "a probe with \"messages\" has no \"image\" and no \"prompt\"", file: json.file,
          advice: "put them into the messages")
      }
      try self.init(json.value("messages"), file: json.file, answer: answer, &pictures)
      return
    }
    let prompt = try json.string("prompt")
    if prompt.contains(bytesOf: Conversation.imagePlaceholder) {
      throw GristError(
        .badData, "\"prompt\" spells out \(Conversation.imagePlaceholder), which stands for the image", file: json.file,
        advice: "leave it out: the image is put before the question")
    }
    let image = json.has("image") ? try pictures.picture(json.string("image")) : nil
    self.init(pictures: image.map { [$0] } ?? [], prompt: prompt, answer: answer)
  }

  private init(
    _ messages: JSONValue?, file: String, answer: String?, _ pictures: inout PictureFiles
  ) throws {
    let list: MessageList
    do { list = try MessageList(messages) } catch {
      throw GristError(
        .badData, error.sentence, file: file, advice: "see `gristmill help run` for a conversation's form")
    }
    let conversation = try locating(file: file) {
      try Conversation(system: list.system, history: list.history, message: list.message)
    }
    self.init(
      pictures: try list.pictures.map { try pictures.picture($0, file: file) }, system: conversation.system,
      history: conversation.history, message: conversation.message, answer: answer)
  }
}

extension JSONReader {
  fileprivate func requireMembers(of kind: String, _ names: Set<String>, _ advice: String) throws {
    guard let other = object.names.first(where: { !names.contains($0) }) else { return }
    throw GristError(.badData, "\"\(other)\" is no member of \(kind)", file: file, advice: advice)
  }
}

/// The pictures that a file of questions names.
private struct PictureFiles {
  let folder: String
  // A record keeps pictures by name: not by where they lie here, and two of one name apart.
  private var known: [ByteName: Bytes] = [:]

  init(folder: String) { self.folder = folder }

  mutating func picture(_ reference: MessageList.Picture, file: String) throws -> Question.Picture {
    switch reference.source {
    case .file(let path): return try picture(path)
    case .address(let address):
      guard address.utf8.starts(with: "data:".utf8) else {
        throw GristError(
          .badData, "\(reference.place): pictures at other addresses are not fetched", file: file,
          found: String(address.prefix(80)), advice: "name a file by \"path\", or put the picture into a data: URL")
      }
      do { return named("picture", try DataURL.bytes(address)) } catch {
        throw GristError(.badData, "\(reference.place): \(error.sentence)", file: file)
      }
    }
  }

  mutating func picture(_ path: String) throws -> Question.Picture {
    let isAbsolute = path.utf8.first == UInt8(ascii: "/")
    let bytes = try readFile(isAbsolute ? path : joinPath(folder, path), limit: Question.pictureLimit)
    return named(isAbsolute ? fileName(of: path) : path, bytes)
  }

  private mutating func named(_ wanted: String, _ bytes: Bytes) -> Question.Picture {
    var name = wanted
    while let other = known[ByteName(name)], !other.elementsEqual(bytes) { name += "'" }
    known[ByteName(name)] = bytes
    return Question.Picture(name: name, bytes: bytes)
  }
}
