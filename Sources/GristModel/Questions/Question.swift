import GristCore

/// A question to ask a model, with the picture it is about.
public struct Question: Sendable, Equatable {
  /// The picture as a person would name it; nil for a question without one.
  public let image: String?
  /// The picture's file: JPEG, PNG or WebP.
  public let imageBytes: Bytes?
  public let prompt: String
  /// What was answered, for those who calibrate with it.
  public let answer: String?

  public init(image: String?, imageBytes: Bytes?, prompt: String, answer: String? = nil) {
    self.answer = answer
    self.image = image
    self.imageBytes = imageBytes
    self.prompt = prompt
  }

  /// Reads the picture from `imagePath`.
  ///
  /// - Throws: 66 when it is not there.
  public init(imagePath: String?, prompt: String) throws {
    self.init(
      image: imagePath.map { fileName(of: $0) }, imageBytes: try imagePath.map { try readFile($0, limit: 1 << 28) },
      prompt: prompt)
  }

  public static func == (a: Question, b: Question) -> Bool { a.image == b.image && a.prompt == b.prompt }

  /// Reads a probes file, `[{"image": "china.jpg", "prompt": "…", "answer": "…"}, …]`; images that are not
  /// absolute paths are relative to it; they and answers may be absent.
  ///
  /// - Throws: 66 for a missing file or image, 65 for a file of another form.
  public static func read(path: String) throws -> [Question] {
    let document = try locating(file: path) { try JSONValue.parse(readFile(path, limit: 64 << 20)) }
    guard let array = document.array, !array.isEmpty else {
      throw GristError(.badData, "a probes file must be a list of questions that is not empty", file: path)
    }
    let folder = folderName(of: path)
    // A record keeps pictures by name: not by where they lie here, and two of one name apart.
    var pictures: [ByteName: Bytes] = [:]
    return try array.enumerated().map { index, value in
      let json = try JSONReader(value, file: "\(path), probe \(index)")
      // A misspelt "image" would make another question of it.
      for name in json.object.names where !["image", "prompt", "answer"].contains(name) {
        throw GristError(
          .badData, "\"\(name)\" is no member of a probe", file: json.file,
          advice: "a probe has \"prompt\", and may have \"image\" and \"answer\"")
      }
      if try json.string("prompt").contains(bytesOf: Conversation.imagePlaceholder) {
        throw GristError(
          .badData, "\"prompt\" spells out \(Conversation.imagePlaceholder), which stands for the image",
          file: json.file,
          advice: "leave it out: the image is put before the question")
      }
      let image = json.has("image") ? try json.string("image") : nil
      let bytes = try image.map { try readFile($0.hasPrefix("/") ? $0 : joinPath(folder, $0), limit: 1 << 28) }
      var name = image.map { $0.utf8.first == UInt8(ascii: "/") ? fileName(of: $0) : $0 }
      while let taken = name, let bytes, let other = pictures[ByteName(taken)], !other.elementsEqual(bytes) {
        name = "\(taken)'"
      }
      if let name, let bytes { pictures[ByteName(name)] = bytes }
      return Question(
        image: name, imageBytes: bytes, prompt: try json.string("prompt"),
        answer: json.has("answer") ? try json.string("answer") : nil)
    }
  }
}
