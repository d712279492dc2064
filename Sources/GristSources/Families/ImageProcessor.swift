import GristCore

/// How pixels become the tower's input, by the settings of transformers' image processors: what stands in
/// `preprocessor_config.json`, or since transformers 5 in `processor_config.json` under `image_processor`.
public struct ImageProcessor: Sendable, Equatable {
  /// How a picture is scaled that is not cut into tiles.
  enum Scaling: Sendable, Equatable {
    /// The shorter edge to so many pixels, and the tile from the centre.
    case shortestEdge(Int)
    /// Both edges to the tile's, whatever that does to the picture's aspect.
    case stretched
  }

  /// What a picture goes through, which says what settings mean for it.
  enum Use {
    /// One tile, scaled and cut.
    case cut
    /// One tile of a picture that is square already.
    case square
    /// A canvas of tiles: every one has its size before the settings are asked.
    case tiles
  }

  public let normalization: ImageNormalization
  let scaling: Scaling
  /// Whether the picture is padded to a square first: LLaVA-1.5's `do_pad`.
  let pads: Bool

  /// - Parameters:
  ///   - json: the settings.
  ///   - tileSize: the tower's extent in pixels.
  ///   - use: what the picture goes through.
  ///   - ignored: keys that are passed over on purpose.
  ///
  /// - Throws: 65 for a setting that this version would get wrong.
  init(_ json: JSONReader, tileSize: Int, for use: Use, ignoring ignored: Set<String>) throws {
    let kind = try json.string("image_processor_type", default: json.string("feature_extractor_type", default: ""))
    let isNext = kind.hasPrefix("LlavaNextImageProcessor")
    guard kind.isEmpty || (use == .tiles && isNext) || Self.kinds.contains(where: kind.hasPrefix) else {
      throw json.failure("image_processor_type", "one of CLIP's or LLaVA's")
    }
    try ConfigurationKeys.imageProcessor.check(json, ignoring: ignored)
    for flag in ["do_resize", "do_rescale", "do_normalize", "do_convert_rgb"] where try !json.bool(flag, default: true)
    {
      throw json.failure(flag, "true")
    }
    guard try json.integer("resample", in: 0...5, default: 3) == 3 else {
      throw json.failure("resample", "3 (bicubic)")
    }
    let factor = try json.double("rescale_factor", default: 1 / 255)
    guard abs(factor * 255 - 1) < 1e-9 else { throw json.failure("rescale_factor", "1/255") }
    normalization = try ImageNormalization(json)

    // LLaVA-NeXT's processor pads numbers of tiles, of which one picture knows nothing.
    let asksPadding = try json.bool("do_pad", default: false) && use != .tiles
    guard !asksPadding || kind.hasPrefix("LlavaImageProcessor") else {
      throw json.failure("do_pad", "false: only LlavaImageProcessor pads")
    }
    pads = asksPadding
    let use = pads ? .square : use
    let crops = try json.bool("do_center_crop", default: true)
    if crops, let size = try Self.extents(json, "crop_size"), size != [tileSize] {
      throw json.failure("crop_size", "the tower's image_size, \(tileSize)")
    }
    scaling = try Self.scaling(json, tileSize: tileSize, for: use)
    if use == .cut, !crops, scaling != .stretched {
      throw json.failure("do_center_crop", "true where the shorter edge alone is scaled")
    }
  }

  /// What becomes of a picture that is not cut into tiles.
  var aspectRatio: VisionInput.AspectRatio {
    if pads { return .pad }
    switch scaling {
    case .shortestEdge(let edge): return .crop(shortestEdge: edge)
    case .stretched: return .stretch
    }
  }

  private static let kinds = ["CLIPImageProcessor", "CLIPFeatureExtractor", "LlavaImageProcessor"]

  private static func scaling(_ json: JSONReader, tileSize: Int, for use: Use) throws -> Scaling {
    guard let size = try extents(json, "size") else { return .shortestEdge(tileSize) }
    let isEdge = json.value("size")?.object?.names == ["shortest_edge"] || json.value("size")?.integer != nil
    if isEdge, use == .cut, size.count == 1, size[0] >= tileSize { return .shortestEdge(size[0]) }
    guard size == [tileSize] else { throw json.failure("size", "the tower's image_size, \(tileSize)") }
    return isEdge ? .shortestEdge(tileSize) : .stretched
  }

  /// Different extents that a size names, one or two; nil where there is none.
  private static func extents(_ json: JSONReader, _ key: String) throws -> [Int]? {
    guard let value = json.value(key) else { return nil }
    let forms: [Set<String>] = [["shortest_edge"], ["height", "width"]]
    let names = Set(value.object?.names.filter { value[$0]?.isNull == false } ?? [])
    let extents = value.integer.map { [$0] } ?? names.compactMap { value[$0]?.integer }
    guard value.integer != nil || forms.contains(names), extents.count == max(names.count, 1),
      extents.allSatisfy({ (1...16_384).contains($0) })
    else { throw json.failure(key, "a number of pixels, {shortest_edge} or {height, width}") }
    return Set(extents).sorted()
  }
}

/// What a tile's values are brought to.
public struct ImageNormalization: Sendable, Equatable {
  public let mean: [Float]
  public let standardDeviation: [Float]

  /// CLIP's own.
  public static let clip = ImageNormalization(
    mean: [0.48145466, 0.4578275, 0.40821073], standardDeviation: [0.26862954, 0.26130258, 0.27577711])

  init(mean: [Float], standardDeviation: [Float]) {
    self.mean = mean
    self.standardDeviation = standardDeviation
  }

  /// `image_mean` and `image_std`; CLIP's where they are absent.
  ///
  /// - Throws: 65 for anything but three numbers, deviations positive.
  init(_ json: JSONReader) throws {
    func triple(_ name: String, _ fallback: [Float]) throws -> [Float] {
      guard let values = json.value(name) else { return fallback }
      let numbers = values.array?.compactMap(\.double).map { Float($0) } ?? []
      guard numbers.count == 3, values.array?.count == 3, numbers.allSatisfy(\.isFinite) else {
        throw json.failure(name, "three numbers")
      }
      return numbers
    }
    mean = try triple("image_mean", Self.clip.mean)
    standardDeviation = try triple("image_std", Self.clip.standardDeviation)
    guard standardDeviation.allSatisfy({ $0 > 0 }) else { throw json.failure("image_std", "three positive numbers") }
  }
}

extension SideFiles {
  /// The settings of the image processor in a folder of the model's: what `processor_config.json` holds of it counts
  /// before `preprocessor_config.json`, as in transformers 5. Nil where neither is there.
  ///
  /// - Parameter folder: empty for the model's own, else with a slash behind it.
  ///
  /// - Throws: 65 where a file is no JSON, or asks for a processor that this version does not know.
  func imageProcessor(in folder: String = "") throws -> JSONReader? {
    if let processor = try json(folder + "processor_config.json") {
      try ConfigurationKeys.processor.check(processor, ignoring: ignoredKeys)
      guard try processor.string("vision_feature_select_strategy", default: "default") == "default" else {
        throw processor.failure("vision_feature_select_strategy", "default")
      }
      if processor.has("image_processor") { return try processor.object("image_processor") }
    }
    return try json(folder + "preprocessor_config.json")
  }
}
