import GristCore

/// What one part of a file holds: the tensors of a segment, or of segments that are numbered alike.
public struct PartSummary: Sendable, Equatable {
  /// The segments' name; without the number where they have one.
  public let name: String
  /// Segments that are numbered.
  public internal(set) var layers = 0
  public internal(set) var tensors = 0
  public internal(set) var elements = 0
  /// Before packing.
  public internal(set) var payloadBytes = 0
  /// In the file.
  public internal(set) var storedBytes = 0
  /// How the tensors are stored, the scheme of most elements first.
  public var schemes: [String] {
    bySchemes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
  }
  private var bySchemes: [String: Int] = [:]
  /// The greatest of its tensors' relative errors.
  public internal(set) var relativeError = 0.0
  /// The greatest relative error of a row; nil where no rows were looked at.
  public internal(set) var worstRowError: Double?

  init(name: String) { self.name = name }

  /// Payload bits an element; 0 for a part without any.
  public var bitsPerWeight: Double { elements == 0 ? 0 : Double(payloadBytes) * 8 / Double(elements) }

  mutating func add(_ tensor: TensorSummary) {
    let count = elementCount(of: tensor.record.shape) ?? 0
    tensors += 1
    elements += count
    payloadBytes += tensor.payloadBytes
    storedBytes += tensor.storedBytes
    bySchemes[tensor.record.scheme.name, default: 0] += count
    relativeError = max(relativeError, tensor.record.relativeError)
    if let error = tensor.record.worstRowError { worstRowError = max(worstRowError ?? 0, error) }
  }
}

extension GristFile {
  /// Its tensors part by part, in file order.
  public var parts: [PartSummary] {
    var parts: [PartSummary] = []
    let tensors = manifest.tensors.sorted { $0.chunks.first < $1.chunks.first }[...]
    var rest = tensors
    for segment in manifest.segments {
      let end = segment.first + segment.count
      let here = rest.prefix { $0.chunks.first < end }
      rest = rest.dropFirst(here.count)
      guard !here.isEmpty else { continue }
      let words = segment.name.split(separator: ".", omittingEmptySubsequences: false)
      let isNumbered = words.count > 1 && Int(words[words.count - 1]) != nil
      let name = isNumbered ? words.dropLast().joined(separator: ".") : segment.name
      if parts.last?.name != name { parts.append(PartSummary(name: name)) }
      if isNumbered { parts[parts.count - 1].layers += 1 }
      for record in here { parts[parts.count - 1].add(TensorSummary(record, in: self)) }
    }
    // Tensors without an element have no chunk, and may stand behind all.
    for record in rest {
      if parts.isEmpty { parts.append(PartSummary(name: "tensors")) }
      parts[parts.count - 1].add(TensorSummary(record, in: self))
    }
    return parts
  }
}
