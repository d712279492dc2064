import GristCore

extension [SourceTensor] {
  /// Groups in which Keras keeps an optimizer's state beside the weights: of whole models in HDF5, and of Keras 3's
  /// archives.
  private static var optimizerGroups: [String] { ["optimizer_weights/", "optimizer/"] }

  /// Without an optimizer's state, which no model is computed from; and what there is to say about that.
  func withoutOptimizer() -> (tensors: [SourceTensor], notes: [String]) {
    let isState = { (tensor: SourceTensor) in Self.optimizerGroups.contains { tensor.name.hasPrefix($0) } }
    let state = filter(isState)
    guard !state.isEmpty else { return (self, []) }
    let bytes = state.reduce(0) { $0 + $1.byteCount }
    return (
      filter { !isState($0) }, ["\(state.count) tensors of the optimizer's state are left out, \(bytes) bytes"]
    )
  }
}
