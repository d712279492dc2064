import GristCore
import GristFormat
import GristSources

/// What the tensors of a conversion were upstream, for the file to tell.
struct Origins {
  private let sources: [String: Int]
  private let file: GristFile?

  init(_ source: Source) {
    file = source.file
    sources = Dictionary(
      source.weightFiles.enumerated().map { ($1.path, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Of one that a `.grist` file stores, what that file tells.
  subscript(entry: ConversionPlan.Entry) -> TensorRecord.Origin {
    if let stored = entry.stored ?? file?.tensor(named: entry.tensor.name) { return stored.origin }
    let (tensor, origin) = (entry.tensor, entry.tensor.origin)
    let layout = (origin.isJoined ? [SourceLayout.joined] : []) + origin.layout.map(\.text)
    return TensorRecord.Origin(
      name: origin.name, element: tensor.elementType, source: sources[tensor.file], shape: origin.shape,
      layout: layout.isEmpty ? nil : layout.joined(separator: " | "), aliases: origin.aliases)
  }
}
