import GristCore

extension Calibration {
  /// What this package brings to calibrate with: conversations and, for a model that sees, photographs.
  ///
  /// The conversations' answers are those that SmolLM2-135M-Instruct gave at temperature 1: what a language model says
  /// is nearer to what will flow through one than a book is. The photographs and their licences stand in NOTICE.
  package static func bundled(withPhotographs: Bool) -> Calibration {
    withPhotographs
      ? Calibration(
        samples: conversations + photographs,
        name: "\(conversations.count) bundled conversations and \(photographs.count) photographs")
      : Calibration(samples: conversations, name: "\(conversations.count) bundled conversations")
  }

  private static let conversations = samples(PackageResources.conversations_json, of: "conversations.json")
  private static let photographs = samples(PackageResources.photographs_json, of: "photographs.json")

  private static let pictures = [
    "astronaut.jpg": PackageResources.astronaut_jpg, "cat.jpg": PackageResources.cat_jpg,
    "coffee.jpg": PackageResources.coffee_jpg, "rocket.jpg": PackageResources.rocket_jpg,
  ]

  private static func samples(_ bytes: [UInt8], of file: String) -> [Sample] {
    do {
      return try (JSONValue.parse(Bytes(bytes)).array ?? []).map { value in
        let json = try JSONReader(value, file: file)
        var picture: Bytes?
        if json.has("picture") {
          guard let bytes = pictures[try json.string("picture")] else {
            throw json.failure("picture", "a picture of this package")
          }
          picture = Bytes(bytes)
        }
        // Tower, projector and router see all of a picture; the language model need not read thousands of rows of it.
        return Sample(
          picture: picture, question: try json.string("prompt"), answer: try json.string("answer"), shareOfTokens: 0.25)
      }
    } catch {
      preconditionFailure("the bundled samples cannot be read: \(error)")
    }
  }
}
