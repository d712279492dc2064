/// One layer of the decoder, by upstream's names.
public struct DecoderLayerTensors: Sendable {
  public let inputNorm: ExpectedTensor
  public let query: ExpectedTensor
  public let key: ExpectedTensor
  public let value: ExpectedTensor
  public let out: ExpectedTensor
  public let attentionNorm: ExpectedTensor
  public let gate: ExpectedTensor
  public let up: ExpectedTensor
  public let down: ExpectedTensor

  /// - Parameters:
  ///   - layer: which.
  ///   - language: the decoder's shape.
  public init(_ layer: Int, _ language: LanguageConfiguration) {
    let (width, inner) = (language.hiddenSize, language.intermediateSize)
    let queryWidth = language.heads * language.headDimension
    let keyWidth = language.keyValueHeads * language.headDimension
    func tensor(_ name: String, _ shape: [Int], _ kind: TensorKind) -> ExpectedTensor {
      ExpectedTensor("model.layers.\(layer).\(name).weight", shape, .languageLayer(layer), kind)
    }
    inputNorm = tensor("input_layernorm", [width], .precious)
    query = tensor("self_attn.q_proj", [queryWidth, width], .linear)
    key = tensor("self_attn.k_proj", [keyWidth, width], .linear)
    value = tensor("self_attn.v_proj", [keyWidth, width], .linear)
    out = tensor("self_attn.o_proj", [width, queryWidth], .linear)
    attentionNorm = tensor("post_attention_layernorm", [width], .precious)
    gate = tensor("mlp.gate_proj", [inner, width], .linear)
    up = tensor("mlp.up_proj", [inner, width], .linear)
    down = tensor("mlp.down_proj", [width, inner], .linear)
  }

  /// In execution order.
  public var all: [ExpectedTensor] { [inputNorm, query, key, value, out, attentionNorm, gate, up, down] }

  /// The matrices, in the order in which they meet their inputs.
  public var matrices: [ExpectedTensor] { [query, key, value, out, gate, up, down] }
}

extension LanguageConfiguration {
  static let tokenEmbeddingsName = "model.embed_tokens.weight"

  /// [vocabulary, width]; a matrix where it serves as head, too.
  public var tokenEmbeddings: ExpectedTensor {
    ExpectedTensor(
      Self.tokenEmbeddingsName, [vocabularySize, hiddenSize], .tokenEmbeddings,
      tiesWordEmbeddings ? .linear : .embedding)
  }

  /// Before the head: [width].
  public var finalNorm: ExpectedTensor { ExpectedTensor("model.norm.weight", [hiddenSize], .head, .precious) }

  static let headName = "lm_head.weight"

  /// The head of its own, [vocabulary, width], which a model with tied embeddings need not have.
  public var head: ExpectedTensor {
    ExpectedTensor(
      Self.headName, [vocabularySize, hiddenSize], .head, .linear, isRequired: !tiesWordEmbeddings)
  }

  /// The matrix that makes logits of the last hidden state; the token embeddings where the model ties them.
  public var output: ExpectedTensor { tiesWordEmbeddings ? tokenEmbeddings : head }
}
