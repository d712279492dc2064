import GristCore
import GristImaging
import GristModel

/// Encodes the pictures of a question, once for neighbouring ones about the same pictures.
package struct ImageCache {
  private let model: VisionLanguageModel
  private var last: [(picture: Bytes, features: VisionLanguageModel.ImageFeatures)] = []

  package init(_ model: VisionLanguageModel) { self.model = model }

  /// Lets go of what it holds.
  package mutating func forget() { last = [] }

  package mutating func features(of question: Question) throws -> [VisionLanguageModel.ImageFeatures] {
    guard !question.pictures.isEmpty else { return [] }
    let known = last
    last = []
    for picture in question.pictures {
      // By what it shows: two pictures may have one name.
      let features =
        try (known + last).first { $0.picture.elementsEqual(picture.bytes) }?.features
        ?? model.encode(model.picture(encoded: picture.bytes, name: picture.name))
      last.append((picture.bytes, features))
    }
    return last.map(\.features)
  }
}
