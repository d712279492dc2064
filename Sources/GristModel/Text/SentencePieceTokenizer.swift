internal import CGristSentencePiece
import GristCore

/// A SentencePiece tokenizer as upstream's (transformers' slow, "legacy") LLaMA tokenizer uses it: the special tokens
/// `<unk>`, `<s>` and `</s>` spelled out in the text become their ids, and what stands between them is encoded piece by
/// piece, each with its own dummy prefix.
public final class SentencePieceTokenizer: Tokenizer, @unchecked Sendable {
  // Unchecked: SentencePiece's processor is immutable after loading and its encode and decode are thread-safe.
  private let processor: OpaquePointer
  public let vocabularySize: Int
  public var prefix: [Int] { [bos] }
  public var end: Int? { eos }
  private let bos: Int
  private let eos: Int
  private let specialTokens: [(text: String, id: Int)]

  /// Loads a `tokenizer.model`.
  ///
  /// - Throws: 65 when the bytes are no SentencePiece model or it has no BOS and EOS.
  public init(model: Bytes, file: String) throws {
    var message = [CChar](repeating: 0, count: 512)
    let processor = model.withUnsafeBytes {
      grist_sentencepiece_create($0.baseAddress, $0.count, &message, message.count)
    }
    guard let processor else {
      let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw GristError(.badData, "not a SentencePiece model", file: file, found: text)
    }
    self.processor = processor
    vocabularySize = Int(grist_sentencepiece_vocabulary_size(processor))
    bos = Int(grist_sentencepiece_bos(processor))
    eos = Int(grist_sentencepiece_eos(processor))
    let unknown = Int(grist_sentencepiece_unknown(processor))
    specialTokens = [("<unk>", unknown), ("<s>", bos), ("</s>", eos)]
    guard bos >= 0, eos >= 0 else {
      throw GristError(.badData, "the tokenizer has no BOS or no EOS token", file: file)
    }
  }

  deinit { grist_sentencepiece_destroy(processor) }

  public func encode(_ text: String, isStart: Bool) throws -> [Int] {
    var ids: [Int] = []
    var rest = text[...]
    while !rest.isEmpty {
      let found = specialTokens.compactMap { token in
        rest.firstRange(of: token.text).map { (range: $0, id: token.id) }
      }.min { $0.range.lowerBound < $1.range.lowerBound }
      guard let found else {
        ids += try encodePieces(rest)
        break
      }
      ids += try encodePieces(rest[..<found.range.lowerBound])
      ids.append(found.id)
      rest = rest[found.range.upperBound...]
    }
    return ids
  }

  private func encodePieces(_ text: Substring) throws -> [Int] {
    guard !text.isEmpty else { return [] }
    var copy = String(text)
    var pointer: UnsafeMutablePointer<Int32>?
    let count = copy.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) {
        grist_sentencepiece_encode(processor, $0.baseAddress, $0.count, &pointer)
      }
    }
    guard count >= 0, let pointer else { throw GristError(.badData, "the tokenizer cannot encode the text") }
    defer { grist_sentencepiece_free(pointer) }
    return UnsafeBufferPointer(start: pointer, count: Int(count)).map { Int($0) }
  }

  /// BOS and EOS give nothing.
  public func decode(_ ids: [Int]) throws -> String {
    let known = ids.filter { $0 >= 0 && $0 < vocabularySize && $0 != bos && $0 != eos }.map { Int32($0) }
    var pointer: UnsafeMutablePointer<CChar>?
    let count = grist_sentencepiece_decode(processor, known, known.count, &pointer)
    guard count >= 0, let pointer else { throw GristError(.badData, "the tokenizer cannot decode the ids") }
    defer { grist_sentencepiece_free(pointer) }
    return pointer.withMemoryRebound(to: UInt8.self, capacity: Int(count)) {
      String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self)
    }
  }
}
