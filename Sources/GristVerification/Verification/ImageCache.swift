import GristCore
import GristImaging
import GristModel

/// Encodes the picture of a question, once for neighbouring ones about the same picture.
struct ImageCache {
  private let model: VisionLanguageModel
  private var last: (picture: Bytes, features: VisionLanguageModel.ImageFeatures)?

  init(_ model: VisionLanguageModel) { self.model = model }

  /// Lets go of what it holds.
  mutating func forget() { last = nil }

  mutating func features(of question: Question) throws -> VisionLanguageModel.ImageFeatures? {
    guard let bytes = question.imageBytes else { return nil }
    // By what it shows: two pictures may have one name.
    if let last, last.picture.elementsEqual(bytes) { return last.features }
    let features = try model.encode(model.picture(encoded: bytes, name: question.image ?? "image"))
    last = (bytes, features)
    return features
  }
}
