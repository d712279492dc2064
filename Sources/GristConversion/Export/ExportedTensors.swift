import GristCore
import GristFormat
import GristSources

/// A file's tensors as upstream had them: their names, layouts and types there.
struct ExportedTensors {
  struct Exported: Sendable {
    /// The name it has upstream, then others that it has there for the same values.
    let names: [String]
    let tensor: SourceTensor
    /// Of the weight files that the file came from; nil where it is not told.
    let source: Int?
  }

  private(set) var tensors: [Exported] = []
  /// For people.
  private(set) var notes: [String] = []

  /// - Parameters:
  ///   - file: what is exported.
  ///   - element: the type that real numbers are to have; nil for the one that each had upstream.
  ///
  /// - Throws: 65 for a tensor that is stored in a way of a later version, or whose layout makes no sense.
  init(_ file: GristFile, as element: ElementType?) throws {
    let stored = Dictionary(
      try file.sourceTensors().map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    var cut: [Cut: [Part]] = [:]
    var order: [Cut] = []
    var others: [String: Int] = [:]
    for record in file.manifest.tensors {
      if case .unknown(let scheme) = record.scheme { throw scheme.error(file: file.path, tensor: record.name) }
      guard let tensor = stored[ByteName(record.name)] else { continue }
      let typed = try cast(tensor, record, to: element)
      guard let layout = SourceLayout(record.origin.layout) else {
        others["layout", default: 0] += 1
        tensors.append(Exported(names: [record.name], tensor: typed, source: record.origin.source))
        continue
      }
      let shape = record.origin.shape ?? record.shape
      let undone = try layout.undone(typed, to: shape)
      if let part = layout.part {
        let key = Cut(source: record.origin.source, name: ByteName(record.origin.name), count: part.count)
        if cut[key] == nil { order.append(key) }
        cut[key, default: []].append(Part(index: part.index, tensor: undone, record: record))
      } else {
        tensors.append(
          Exported(
            names: [record.origin.name] + record.origin.aliases, tensor: undone.renamed(record.origin.name),
            source: record.origin.source))
      }
    }
    for key in order {
      let parts = (cut[key] ?? []).sorted { $0.index < $1.index }
      guard parts.map(\.index) == Array(0..<key.count),
        let whole = SourceTensor.whole(of: parts.map(\.tensor), named: key.name.text)
      else {
        others["layout", default: 0] += parts.count
        tensors += parts.map { Exported(names: [$0.record.name], tensor: $0.tensor, source: key.source) }
        continue
      }
      tensors.append(Exported(names: [key.name.text], tensor: whole, source: key.source))
    }
    if let count = others["layout"] {
      notes.append("\(count) tensors keep the names that the model knows them by: their layout has no way back")
    }
  }

  /// A tensor that was cut, upstream.
  private struct Cut: Hashable {
    let source: Int?
    let name: ByteName
    let count: Int
  }

  private struct Part {
    let index: Int
    let tensor: SourceTensor
    let record: TensorRecord
  }

  private func cast(_ tensor: SourceTensor, _ record: TensorRecord, to element: ElementType?) throws -> SourceTensor {
    // What is no real number stays what it is.
    let wanted = record.origin.element.isFloatingPoint ? element ?? record.origin.element : record.origin.element
    if let typed = tensor.cast(to: wanted) { return typed }
    guard tensor.elementType == .f32 || !tensor.elementType.isFloatingPoint else {
      throw GristError(
        .badData, "a type that nothing is cast to", file: tensor.file, tensor: tensor.name, found: wanted.rawValue,
        advice: "export as bf16")
    }
    return tensor
  }
}
