import GristCore
import GristKernels
import GristModel
import GristSources

/// AVG-LLaVA's router computed in f32 so that it can learn: votes of rows, and what reaches its weights from them.
///
/// Rows do not see each other but those of one position in all tiles, so that any positions may go through together and
/// others after them.
struct RouterPass {
  let weights: RouterWeights
  let compute: Compute
  private var routing: GranularityRouting { weights.routing }

  /// Rows that go through together, [tiles · positions, width], tile after tile.
  struct Rows {
    let values: FloatMatrix
    let tiles: Int
    /// Each position's place among the voters, and which of the votes it is for.
    let voters: [Int]
    let owners: [Int]

    var positions: Int { voters.count }
  }

  /// What a pass leaves for the way back.
  struct Trace {
    let projected: FloatMatrix
    let attended: FloatMatrix
    /// What the first norm was given, and gave.
    let sum1: FloatMatrix
    let x: FloatMatrix
    /// Behind ReLU.
    let hidden: FloatMatrix
    let sum2: FloatMatrix
    let merged: FloatMatrix
    /// Before and behind GELU.
    let voiced: FloatMatrix
    let active: FloatMatrix
    /// What each row says of each granularity, [rows, granularities].
    let opinions: FloatMatrix

    /// Bytes that a pass of so many rows leaves, about.
    static func bytes(rows: Int, width: Int) -> Int { rows * width * 4 * 11 }
  }

  private func layout(_ rows: Rows) -> SequenceLayout {
    SequenceLayout(sequences: rows.positions, length: rows.tiles, sequenceStride: 1, elementStride: rows.positions)
  }

  private func affine(_ x: FloatMatrix, _ layer: RouterWeights.Layer) -> FloatMatrix {
    compute.affine(x, weights.weight(layer), bias: weights.bias(layer))
  }

  private func norm(_ x: FloatMatrix, _ layer: RouterWeights.Layer) -> FloatMatrix {
    compute.layerNorm(
      x, weight: weights.weight(layer).row(0), bias: weights.bias(layer).row(0), epsilon: routing.layerNormEpsilon)
  }

  private func sum(_ a: FloatMatrix, _ b: FloatMatrix) -> FloatMatrix {
    let sum = a.copy(rows: 0..<a.rows)
    compute.add(b, to: sum)
    return sum
  }

  func run(_ rows: Rows) -> Trace {
    let dimension = routing.width / routing.heads
    let projected = affine(rows.values, .attentionIn)
    func part(_ index: Int) -> HeadRows {
      HeadRows(projected, firstColumn: index * routing.width, dimension: dimension)
    }
    let attended = compute.attention(
      queries: part(0), keys: part(1), values: part(2),
      heads: AttentionHeads(count: routing.heads, keyValueCount: routing.heads, dimension: dimension),
      queryLayout: layout(rows), keyLayout: layout(rows))
    let sum1 = sum(rows.values, affine(attended, .attentionOut))
    let x = norm(sum1, .norm1)
    let hidden = affine(x, .linear1)
    compute.apply(.relu, to: hidden)
    let sum2 = sum(x, affine(hidden, .linear2))
    let merged = norm(sum2, .norm2)
    let voiced = affine(merged, .hiddenLayer)
    let active = voiced.copy(rows: 0..<voiced.rows)
    compute.apply(.gelu, to: active)
    return Trace(
      projected: projected, attended: attended, sum1: sum1, x: x, hidden: hidden, sum2: sum2, merged: merged,
      voiced: voiced, active: active, opinions: affine(active, .outputLayer))
  }

  /// Adds what rows say to the votes, each by its voter and the mean over the tiles: [owners][granularities].
  func addVotes(of trace: Trace, _ rows: Rows, to votes: inout [[Double]]) {
    for row in 0..<trace.opinions.rows {
      let position = row % rows.positions
      let share = Double(weights.voter[0, rows.voters[position]]) / Double(rows.tiles)
      trace.opinions.withRow(row) { opinion in
        for index in opinion.indices { votes[rows.owners[position]][index] += share * Double(opinion[index]) }
      }
    }
  }

  /// Adds what reaches every weight from the votes of some rows to `gradients`.
  ///
  /// - Parameter votes: what reaches the votes, [owners][granularities].
  func addGradients(_ votes: [[Float]], of trace: Trace, _ rows: Rows, to gradients: RouterWeights) {
    let said = voted(votes, trace, rows, gradients)
    func back(_ gradient: FloatMatrix, _ layer: RouterWeights.Layer, _ input: FloatMatrix) {
      compute.addAffineGradients(
        gradient, input, weight: gradients.weight(layer), bias: gradients.bias(layer))
    }
    func throughNorm(_ gradient: FloatMatrix, _ layer: RouterWeights.Layer, of x: FloatMatrix) -> FloatMatrix {
      compute.layerNormGradient(
        gradient, of: x, weight: weights.weight(layer), epsilon: routing.layerNormEpsilon,
        weightGradient: gradients.weight(layer), biasGradient: gradients.bias(layer))
    }
    func through(_ gradient: FloatMatrix, _ layer: RouterWeights.Layer) -> FloatMatrix {
      compute.affineInputGradient(gradient, weights.weight(layer))
    }
    back(said, .outputLayer, trace.active)
    let voiced = through(said, .outputLayer)
    compute.multiplyByGELUSlope(voiced, at: trace.voiced)
    back(voiced, .hiddenLayer, trace.merged)
    let sum2 = throughNorm(through(voiced, .hiddenLayer), .norm2, of: trace.sum2)
    back(sum2, .linear2, trace.hidden)
    let hidden = through(sum2, .linear2)
    compute.multiplyByReLUSlope(hidden, of: trace.hidden)
    back(hidden, .linear1, trace.x)
    let sum1 = throughNorm(sum(sum2, through(hidden, .linear1)), .norm1, of: trace.sum1)
    back(sum1, .attentionOut, trace.attended)
    let projected = compute.attentionGradient(
      through(sum1, .attentionOut), projected: trace.projected, heads: routing.heads, layout: layout(rows))
    back(projected, .attentionIn, rows.values)
  }

  /// What reaches the rows' opinions from their votes; the voters' own share is added to theirs.
  private func voted(_ votes: [[Float]], _ trace: Trace, _ rows: Rows, _ gradients: RouterWeights) -> FloatMatrix {
    let result = FloatMatrix(rows: trace.opinions.rows, columns: trace.opinions.columns)
    var sums = [Double](repeating: 0, count: rows.positions)
    for row in 0..<result.rows {
      let position = row % rows.positions
      let vote = votes[rows.owners[position]]
      let share = weights.voter[0, rows.voters[position]] / Float(rows.tiles)
      result.withMutableRow(row) { values in for index in values.indices { values[index] = share * vote[index] } }
      sums[position] += trace.opinions.withRow(row) { opinion in
        opinion.indices.reduce(0.0) { $0 + Double(opinion[$1] * vote[$1]) } / Double(rows.tiles)
      }
    }
    for (position, sum) in sums.enumerated() { gradients.voter[0, rows.voters[position]] += Float(sum) }
    return result
  }
}
