import GristCore
import GristKernels
import GristSources

/// CLIP's vision transformer, up to the layer whose output LLaVA takes.
public struct VisionTower: Sendable {
  private let configuration: VisionConfiguration
  private let patchEmbedding: any LinearWeights
  private let classEmbedding: [Float]
  private let positionEmbedding: [Float]
  private let preNorm: LayerNorm
  private let layers: [Lazy<Layer>]

  struct Layer: Sendable {
    let norm1: LayerNorm
    let query: BiasedLinear
    let key: BiasedLinear
    let value: BiasedLinear
    let out: BiasedLinear
    let norm2: LayerNorm
    let fc1: BiasedLinear
    let fc2: BiasedLinear

    init(_ store: any ParameterStore, _ tensors: TowerTensors.Layer, epsilon: Float) throws {
      norm1 = try LayerNorm(store, tensors.norm1, epsilon: epsilon)
      query = try BiasedLinear(store, tensors.query)
      key = try BiasedLinear(store, tensors.key)
      value = try BiasedLinear(store, tensors.value)
      out = try BiasedLinear(store, tensors.out)
      norm2 = try LayerNorm(store, tensors.norm2, epsilon: epsilon)
      fc1 = try BiasedLinear(store, tensors.fc1)
      fc2 = try BiasedLinear(store, tensors.fc2)
    }
  }

  /// A tower out of a model's weights, or of a checkpoint of a tower alone.
  ///
  /// - Parameters:
  ///   - store: where the weights are.
  ///   - configuration: the tower's shape.
  ///   - layersRun: how many of its layers are run, in `0 ... configuration.layers`.
  ///
  /// - Precondition: `layersRun` lies in `0 ... configuration.layers`.
  /// - Throws: 65 when a tensor is missing or has another shape.
  public init(_ store: some ParameterStore, _ configuration: VisionConfiguration, layersRun: Int) throws {
    precondition((0...configuration.layers).contains(layersRun))
    self.configuration = configuration
    let tensors = TowerTensors(configuration, layersRun: layersRun)
    let epsilon = configuration.layerNormEpsilon
    patchEmbedding = try store.matrix(tensors.patchEmbedding)
    classEmbedding = try store.values(tensors.classEmbedding)
    positionEmbedding = try store.values(tensors.positionEmbedding)
    preNorm = try LayerNorm(store, tensors.preNorm, epsilon: epsilon)
    layers = tensors.layers.prefix(layersRun).map { layer in
      Lazy(isKept: store.keeps(layer.query.weight)) { try Layer(store, layer, epsilon: epsilon) }
    }
  }

  /// Patch features of tiles given as normalised pixels, planar [3, size, size] each: [tiles · patches, width]. The
  /// class token's row is left out.
  ///
  /// - Precondition: each tile has as many values as the configuration's image size asks for.
  /// - Throws: 65 for values that are not finite, naming the layer, and what reading weights throws.
  public func features(_ tiles: [[Float]], _ compute: Compute) throws -> FloatMatrix {
    let patches = configuration.patches
    let length = patches + 1
    let width = configuration.hiddenSize
    let pixels = patchRows(tiles)
    compute.round(pixels)
    let embedded = compute.linear(pixels, patchEmbedding)
    // Tiles do not see each other. One after the other they go through a layer, so that what it computes of a tile
    // stays in the last cache, beside the layer's weights.
    let rows = try tiles.indices.map { tile in
      let x = FloatMatrix(rows: length, columns: width)
      x.setRow(0, classEmbedding)
      x.copyRows(tile * patches..<(tile + 1) * patches, of: embedded, toRow: 1)
      for row in 0..<length {
        x.withMutableRow(row) { values in
          for column in values.indices { values[column] += positionEmbedding[row * width + column] }
        }
      }
      compute.round(x)
      let normed = preNorm(x, compute)
      try compute.inPart("the vision tower's embeddings") { try compute.requireFinite(normed, "output") }
      return normed
    }
    let layout = SequenceLayout.consecutive(sequences: 1, length: length)
    for (index, layer) in layers.enumerated() {
      try compute.inPart("vision layer \(index)") {
        let layer = try layer.get()
        for x in rows {
          try Interruption.check()
          try run(layer, x, layout, compute)
        }
      }
    }
    let features = FloatMatrix(uninitializedRows: tiles.count * patches, columns: width)
    for (tile, x) in rows.enumerated() { features.copyRows(1..<length, of: x, toRow: tile * patches) }
    return features
  }

  private func run(_ layer: Layer, _ x: FloatMatrix, _ layout: SequenceLayout, _ compute: Compute) throws {
    let normed = layer.norm1(x, compute)
    let heads = AttentionHeads(
      count: configuration.heads, keyValueCount: configuration.heads,
      dimension: configuration.hiddenSize / configuration.heads)
    let projected = compute.linear(
      normed, [layer.query, layer.key, layer.value].map { ($0.weights, $0.bias) })
    for (matrix, name) in zip(projected, ["queries", "keys", "values"]) { try compute.requireFinite(matrix, name) }
    // In the order in which they were asked for.
    func rows(_ place: Int) -> HeadRows { HeadRows(projected[place], dimension: heads.dimension) }
    let attended = compute.attention(
      queries: rows(0), keys: rows(1), values: rows(2), heads: heads, queryLayout: layout, keyLayout: layout,
      mayNarrow: compute.mayNarrow(isQuantized: layer.key.weights.isQuantized))
    compute.add(layer.out(attended, compute), to: x)
    let hidden = layer.fc1(layer.norm2(x, compute), compute)
    compute.apply(configuration.activation == .quickGELU ? .quickGELU : .gelu, to: hidden)
    compute.add(layer.fc2(hidden, compute), to: x)
    try compute.requireFinite(x, "output")
  }

  /// Each patch as a row of colour, row, column: the convolution with stride = kernel becomes a matrix product.
  private func patchRows(_ tiles: [[Float]]) -> FloatMatrix {
    let size = configuration.imageSize
    let patch = configuration.patchSize
    let grid = configuration.gridSize
    let rows = FloatMatrix(uninitializedRows: tiles.count * configuration.patches, columns: configuration.patchWidth)
    for (tile, pixels) in tiles.enumerated() {
      precondition(pixels.count == 3 * size * size)
      for patchRow in 0..<grid {
        for patchColumn in 0..<grid {
          let index = tile * configuration.patches + patchRow * grid + patchColumn
          rows.withMutableRow(index) { row in
            var position = 0
            for colour in 0..<3 {
              for y in 0..<patch {
                let start = (colour * size + patchRow * patch + y) * size + patchColumn * patch
                for x in 0..<patch {
                  row[position] = pixels[start + x]
                  position += 1
                }
              }
            }
          }
        }
      }
    }
    return rows
  }
}
