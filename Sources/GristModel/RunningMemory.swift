import GristCore
import GristFormat
import GristKernels
import GristSources

/// What running a model takes in memory, apart from the program itself, some 30 MB.
public struct RunningMemory: Sendable, Equatable {
  /// Weights as the kernels read them, unpacked. The token embeddings are not among them where they are looked up in
  /// the file, row by row. Of a raw file they are the file's own pages, which the system may drop and read again.
  public let weightBytes: Int
  /// Keys and values of each row of prompt and answer, as they are kept where nothing else is asked for.
  public let cacheBytesPerRow: Int
  /// The most rows that a picture becomes; 0 for a text-only model.
  public let pictureRows: Int
  /// Intermediate results of the largest picture and its prompt, at most, and what of such memory is kept to be used
  /// again.
  public let scratchBytes: Int

  /// What running a source takes; nil for one that cannot be run.
  public init?(_ source: Source) {
    guard let configuration = try? source.configuration() else { return nil }
    let language = configuration.language
    weightBytes = configuration.expectedTensors.reduce(0) { sum, tensor in
      tensor.part == .unused || tensor.kind == .embedding ? sum : sum + source.computedBytes(of: tensor.name)
    }
    let holdsCodes = source.holdsCodes
    cacheBytesPerRow =
      KeyValueCache(
        layers: language.layers, heads: configuration.attentionHeads, capacity: 0, precision: holdsCodes ? .f16 : .f32
      ).bytesPerRow
    pictureRows = configuration.vision?.mostRows ?? 0
    let (width, float) = (language.hiddenSize, MemoryLayout<Float>.size)
    // A block of a prompt in a layer: what enters, its three projections, what leaves, and two rows of the gates.
    var working = LanguageModel.blockRows * (5 * width + 2 * language.intermediateSize) * float
    if let vision = configuration.vision {
      // What the projector gave, what was pooled of it, and the prompt's rows.
      working += 3 * vision.tileCounts.map(\.all).reduce(1, max) * vision.tower.patches * width * float
    }
    scratchBytes = working + min(working, RecycledMemory.keptBytes)
  }
}

extension VisionInput {
  /// For every size that a picture may be cut to: rows of tiles, and tiles in all, the one that shows the whole picture
  /// counted in.
  fileprivate var tileCounts: [(rows: Int, all: Int)] {
    guard case .anyResolution(let sizes) = aspectRatio, tower.imageSize > 0 else { return [(0, 1)] }
    return sizes.map { size in
      func tiles(_ extent: Int) -> Int { (extent + tower.imageSize - 1) / tower.imageSize }
      return (tiles(size.height), 1 + tiles(size.width) * tiles(size.height))
    }
  }

  /// The most tiles that a picture is cut to, the one that shows the whole counted in.
  package var mostTiles: Int { tileCounts.map(\.all).max() ?? 1 }

  /// The most rows that a picture becomes: all tiles' tokens at the finest grid, and a newline behind every row of the
  /// detail.
  fileprivate var mostRows: Int {
    let finest = granularities.max() ?? 0
    let rows =
      patchMerge == .spatial(unpad: true) ? PoolingGrid(granularity: finest, side: tower.gridSize)?.rows ?? 0 : 0
    return tileCounts.map { $0.all * finest + max($0.rows * rows, rows > 0 ? 1 : 0) }.max() ?? 0
  }
}

extension Source {
  /// Bytes of a tensor as the kernels read it, unpacked; 0 for one that is not there.
  func computedBytes(of name: String) -> Int {
    switch storage {
    case .grist(let file): file.tensor(named: name).map { TensorSummary($0, in: file) }?.payloadBytes ?? 0
    case .checkpoint(let checkpoint): checkpoint.tensor(named: name)?.byteCount ?? 0
    }
  }
}
