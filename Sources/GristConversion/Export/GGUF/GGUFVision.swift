import GristCore
import GristFormat
import GristSources

extension GGUFFile {
  /// Tower and projector, as llama.cpp's `mmproj` of LLaVA. Matrices are f16 where they are not asked for in f32: its
  /// kernels take no other.
  ///
  /// - Throws: 65 when something that the model needs is not there.
  static func projector(_ file: GristFile, _ source: Source, _ choice: GGUFChoice, name: String) throws -> GGUFFile? {
    let configuration = try source.configuration()
    guard let input = configuration.vision else { return nil }
    let tower = input.tower
    let isFull = choice == .type(.f32)
    let weights = try GGUFWeights(file, .type(isFull ? .f32 : .f16))
    var gguf = GGUFFile()
    gguf.metadata = [
      ("general.architecture", .text("clip")), ("general.type", .text("mmproj")), ("general.name", .text(name)),
      ("general.file_type", .uint32(isFull ? 0 : 1)), ("clip.has_vision_encoder", .bool(true)),
      ("clip.has_llava_projector", .bool(true)), ("clip.projector_type", .text("mlp")),
      ("clip.use_gelu", .bool(tower.activation == .gelu)),
      ("clip.vision.image_size", .uint32(tower.imageSize)), ("clip.vision.patch_size", .uint32(tower.patchSize)),
      ("clip.vision.embedding_length", .uint32(tower.hiddenSize)),
      ("clip.vision.feed_forward_length", .uint32(tower.intermediateSize)),
      ("clip.vision.projection_dim", .uint32(configuration.hiddenSize)),
      ("clip.vision.attention.head_count", .uint32(tower.heads)),
      ("clip.vision.block_count", .uint32(input.layersRun)),
      ("clip.vision.attention.layer_norm_epsilon", .float32(tower.layerNormEpsilon)),
      ("clip.vision.image_mean", .float32s(input.normalization.mean)),
      ("clip.vision.image_std", .float32s(input.normalization.standardDeviation)),
      ("clip.vision.feature_layer", .int32s([input.layersRun])),
    ]
    if case .anyResolution(let sizes) = input.aspectRatio {
      gguf.metadata += [
        ("clip.vision.image_grid_pinpoints", .int32s(sizes.flatMap { [$0.width, $0.height] })),
        ("clip.vision.mm_patch_merge_type", .text("spatial_unpad")),
      ]
    }
    let names = TowerTensors(tower, layersRun: input.layersRun)
    gguf.tensors = [
      try weights("v.class_embd", names.classEmbedding),
      try weights("v.patch_embd.weight", names.patchEmbedding),
      try weights("v.position_embd.weight", names.positionEmbedding, keepsPrecision: true),
    ]
    func add(_ name: String, _ linear: LinearTensors) throws {
      gguf.tensors += [try weights(name + ".weight", linear.weight), try weights(name + ".bias", linear.bias)]
    }
    func add(_ name: String, _ norm: NormTensors) throws {
      gguf.tensors += [try weights(name + ".weight", norm.weight), try weights(name + ".bias", norm.bias)]
    }
    try add("v.pre_ln", names.preNorm)
    for (index, layer) in names.layers.prefix(input.layersRun).enumerated() {
      let prefix = "v.blk.\(index)."
      try add(prefix + "ln1", layer.norm1)
      try add(prefix + "attn_q", layer.query)
      try add(prefix + "attn_k", layer.key)
      try add(prefix + "attn_v", layer.value)
      try add(prefix + "attn_out", layer.out)
      try add(prefix + "ln2", layer.norm2)
      try add(prefix + "ffn_up", layer.fc1)
      try add(prefix + "ffn_down", layer.fc2)
    }
    let projector = ProjectorTensors(input, width: configuration.hiddenSize)
    for (index, layer) in projector.layers.enumerated() { try add("mm.\(2 * index)", layer) }
    if input.patchMerge == .spatial(unpad: true), weights.has(projector.newline) {
      gguf.tensors.append(try weights("model.image_newline", projector.newline))
    }
    return gguf
  }
}
