import GristCore
import GristFormat
import GristModel
import GristSources

/// A model's tensors, for GGUF: as they are stored, expanded where they are quantized.
struct GGUFWeights {
  private let file: GristFile
  private let tensors: [ByteName: SourceTensor]
  private let choice: GGUFChoice

  init(_ file: GristFile, _ choice: GGUFChoice) throws {
    tensors = Dictionary(
      try file.sourceTensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    self.file = file
    self.choice = choice
  }

  /// - Parameters:
  ///   - name: what llama.cpp calls it.
  ///   - expected: what it is here.
  ///   - headDimension: of a query or key matrix, whose rows llama.cpp wants in another order; else nil.
  ///   - keepsPrecision: whether it is f32 whatever is asked for.
  ///
  /// - Throws: 65 when there is no such tensor, or it is no real numbers.
  func callAsFunction(
    _ name: String, _ expected: ExpectedTensor, interleaving headDimension: Int? = nil, keepsPrecision: Bool = false
  ) throws -> GGUFFile.Tensor {
    guard let tensor = tensors[ByteName(expected.name)], let record = file.tensor(named: expected.name),
      tensor.shape == expected.shape,
      let values = headDimension.map({ tensor.withRowsInterleaved(headDimension: $0) }) ?? tensor
    else {
      throw GristError(
        .badData, "a tensor that the model needs is not there, or of another shape", file: file.path,
        tensor: expected.name)
    }
    let isQuantized = if case .plain = record.scheme { false } else { true }
    if isQuantized, !keepsPrecision, choice == .asStored || choice == .type(.q8),
      let blocks = ExactBlocks(
        record, in: file, values: values,
        storedRow: { row in headDimension.map { interleavedRow(row, headDimension: $0) } ?? row })
    {
      return GGUFFile.Tensor(
        name: name, type: .q8, shape: tensor.shape, byteCount: blocks.byteCount, bytes: { try blocks.bytes($0) },
        release: { blocks.release($0) })
    }
    return try locating(tensor: expected.name) {
      try GGUFFile.Tensor(name, values, isQuantized: isQuantized, keepsPrecision ? .type(.f32) : choice)
    }
  }

  func has(_ expected: ExpectedTensor) -> Bool { tensors[ByteName(expected.name)] != nil }
}

extension GGUFFile {
  /// The language model with its tokenizer, as llama.cpp's architecture `llama`.
  ///
  /// - Parameters:
  ///   - file: what is exported.
  ///   - source: the same, recognised.
  ///   - choice: types of tensors.
  ///   - name: of the model, for people.
  ///
  /// - Throws: 65 when something that the model needs is not there, or its tokenizer is one that GGUF has no words for.
  static func languageModel(
    _ file: GristFile, _ source: Source, _ choice: GGUFChoice, name: String
  ) throws -> GGUFFile {
    let configuration = try source.configuration()
    let language = configuration.language
    var gguf = GGUFFile()
    gguf.metadata = metadata(language, choice, name: name)
    gguf.metadata += try tokenizer(source, configuration)
    let weights = try GGUFWeights(file, choice)
    gguf.tensors.append(try weights("token_embd.weight", language.tokenEmbeddings))
    if case .llama3 = language.rotary.scaling { gguf.tensors.append(frequencies(language)) }
    for layer in 0..<language.layers {
      let tensors = DecoderLayerTensors(layer, language)
      let prefix = "blk.\(layer)."
      gguf.tensors += [
        try weights(prefix + "attn_norm.weight", tensors.inputNorm),
        try weights(prefix + "attn_q.weight", tensors.query, interleaving: language.headDimension),
        try weights(prefix + "attn_k.weight", tensors.key, interleaving: language.headDimension),
        try weights(prefix + "attn_v.weight", tensors.value),
        try weights(prefix + "attn_output.weight", tensors.out),
        try weights(prefix + "ffn_norm.weight", tensors.attentionNorm),
        try weights(prefix + "ffn_gate.weight", tensors.gate),
        try weights(prefix + "ffn_up.weight", tensors.up),
        try weights(prefix + "ffn_down.weight", tensors.down),
      ]
    }
    gguf.tensors.append(try weights("output_norm.weight", language.finalNorm))
    // Without a head of its own llama.cpp takes the embeddings.
    if !language.tiesWordEmbeddings { gguf.tensors.append(try weights("output.weight", language.head)) }
    return gguf
  }

  private static func metadata(
    _ language: LanguageConfiguration, _ choice: GGUFChoice, name: String
  ) -> [(name: String, value: Value)] {
    var metadata: [(name: String, value: Value)] = [
      ("general.architecture", .text("llama")), ("general.type", .text("model")), ("general.name", .text(name)),
      ("general.quantization_version", .uint32(2)), ("general.file_type", .uint32(choice.fileType)),
      ("llama.vocab_size", .uint32(language.vocabularySize)),
      // llama.cpp attends to all rows; up to the length of a window that is the same.
      ("llama.context_length", .uint32(min(language.maximumLength, language.slidingWindow ?? .max))),
      ("llama.embedding_length", .uint32(language.hiddenSize)), ("llama.block_count", .uint32(language.layers)),
      ("llama.feed_forward_length", .uint32(language.intermediateSize)),
      ("llama.attention.head_count", .uint32(language.heads)),
      ("llama.attention.head_count_kv", .uint32(language.keyValueHeads)),
      ("llama.attention.key_length", .uint32(language.headDimension)),
      ("llama.attention.value_length", .uint32(language.headDimension)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(language.rmsNormEpsilon)),
      ("llama.rope.dimension_count", .uint32(language.headDimension)),
      ("llama.rope.freq_base", .float32(language.rotary.base)),
    ]
    if case .linear(let factor) = language.rotary.scaling {
      metadata += [("llama.rope.scaling.type", .text("linear")), ("llama.rope.scaling.factor", .float32(factor))]
    }
    return metadata
  }

  /// LLaMA 3.1's scaling, which GGUF keeps as what each frequency is divided by.
  private static func frequencies(_ language: LanguageConfiguration) -> Tensor {
    let dimension = language.headDimension
    let scaled = language.rotary.inverseFrequencies(dimension: dimension)
    let plain = RotaryEmbedding(base: language.rotary.base).inverseFrequencies(dimension: dimension)
    let factors = zip(plain, scaled).map { $0 / $1 }
    let bytes = factors.withUnsafeBytes { Bytes(Array($0)) }
    return Tensor(
      name: "rope_freqs.weight", type: .f32, shape: [factors.count], byteCount: bytes.count,
      bytes: { bytes.slice($0.lowerBound, $0.count) ?? Bytes() }, release: { _ in })
  }

  private static func tokenizer(
    _ source: Source, _ configuration: ModelConfiguration
  ) throws -> [(name: String, value: Value)] {
    var vocabulary = try Vocabulary(source, kinds: configuration.tokenizers)
    let rows = configuration.vocabularySize
    guard
      vocabulary.pieces.prefix(rows).count == vocabulary.pieces.count
        || vocabulary.pieces.dropFirst(rows).allSatisfy({ $0.type != .normal })
    else {
      throw GristError(
        .badData, "the tokenizer has more pieces than the model has embeddings", file: source.path,
        found: "\(vocabulary.pieces.count) against \(rows)")
    }
    vocabulary.grow(to: rows)
    let pieces = vocabulary.pieces.prefix(rows)
    var metadata: [(name: String, value: Value)] = []
    switch vocabulary.kind {
    case .sentencePiece(let addsBlank):
      metadata = [
        ("tokenizer.ggml.model", .text("llama")), ("tokenizer.ggml.pre", .text("default")),
        ("tokenizer.ggml.scores", .float32s(pieces.map(\.score))),
        ("tokenizer.ggml.add_space_prefix", .bool(addsBlank)),
      ]
    case .bytePairs(let pattern):
      metadata = [
        ("tokenizer.ggml.model", .text("gpt2")), ("tokenizer.ggml.pre", .text(pattern)),
        ("tokenizer.ggml.merges", .strings(vocabulary.merges.map { Array($0.utf8) })),
      ]
    }
    metadata += [
      ("tokenizer.ggml.tokens", .strings(pieces.map(\.spelling))),
      ("tokenizer.ggml.token_type", .int32s(pieces.map(\.type.rawValue))),
      ("tokenizer.ggml.add_bos_token", .bool(!vocabulary.prefix.isEmpty)),
      ("tokenizer.ggml.add_eos_token", .bool(false)),
    ]
    if let first = vocabulary.prefix.first { metadata.append(("tokenizer.ggml.bos_token_id", .uint32(first))) }
    if let end = configuration.endTokens?.min() ?? vocabulary.end {
      metadata.append(("tokenizer.ggml.eos_token_id", .uint32(end)))
    }
    if let unknown = pieces.firstIndex(where: { $0.type == .unknown }) {
      metadata.append(("tokenizer.ggml.unknown_token_id", .uint32(unknown)))
    }
    if case .program(let template) = configuration.format {
      metadata.append(("tokenizer.chat_template", .text(template.text)))
    }
    return metadata
  }
}

extension GGUFChoice {
  /// llama.cpp's number for files of this kind, for people.
  var fileType: Int {
    switch self {
    case .type(.f32): 0
    case .type(.f16): 1
    case .type(.q8), .asStored: 7
    case .type(.bf16): 32
    }
  }
}
