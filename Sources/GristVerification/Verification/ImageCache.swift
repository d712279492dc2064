import GristCore
import GristImaging
import GristModel

/// Encodes the picture of a probe, once for neighbouring probes about the same picture.
struct ImageCache {
  private let model: VisionLanguageModel
  private var last: (picture: Bytes, features: VisionLanguageModel.ImageFeatures)?

  init(_ model: VisionLanguageModel) { self.model = model }

  mutating func features(of probe: Probe) throws -> VisionLanguageModel.ImageFeatures? {
    guard let bytes = probe.imageBytes else { return nil }
    // By what it shows: two pictures may have one name.
    if let last, last.picture.elementsEqual(bytes) { return last.features }
    let features = try model.encode(model.picture(jpeg: bytes, name: probe.image ?? "image"))
    last = (bytes, features)
    return features
  }
}
