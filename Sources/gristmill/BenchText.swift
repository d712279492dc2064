import GristCore
import GristModel

/// A measurement's result for people.
enum BenchText {
  static func describe(_ report: BenchmarkReport) -> String {
    let weights = report.recipe.map { "\($0), \(report.packing ?? "")" } ?? "checkpoint"
    var lines = [
      "\(report.model) (\(weights)): \(report.threads) \(report.threads == 1 ? "thread" : "threads"), "
        + "\(report.instructionSet), activations \(report.activations.rawValue), "
        + (report.repetitions == 1 ? "measured once" : "median of \(report.repetitions)"), "",
    ]
    lines.append(Format.table(rows(report), leftAligned: [0, 2]))
    lines += [
      "",
      "a decoded token reads \(NumberText.bytes(report.cost.weightBytesPerToken)) of weights and "
        + "\(NumberText.bytes(report.cacheBytesPerToken)) of cache for each row before it",
      "the machine reads \(NumberText.bytes(Int(report.limits.memoryReadBytesPerSecond))) a second and does "
        + "\(NumberText.fixed(report.limits.int8OperationsPerSecond / 1e12, digits: 2))·10¹² int8 operations a second",
    ]
    if let streaming = report.streaming {
      lines.append(
        "within \(NumberText.mebibytes(streaming.plan.budget)) a token streams "
          + "\(NumberText.bytes(streaming.bytesAPass)), \(NumberText.bytes(Int(streaming.bytesPerSecond))) a second; "
          + "without computing the disk gives \(NumberText.bytes(Int(streaming.readerBytesPerSecond))) "
          + "(\(NumberText.fixed(streaming.ofReader * 100, digits: 0)) %)")
    }
    return lines.joined(separator: "\n")
  }

  private static func rows(_ report: BenchmarkReport) -> [[String]] {
    var rows = [
      ["open", NumberText.fixed(report.openSeconds * 1000, digits: 1), "ms"],
      ["first row, all weights read", NumberText.fixed(report.firstRowSeconds * 1000, digits: 0), "ms"],
    ]
    if let tower = report.tower {
      rows.append(["tower, a tile", NumberText.fixed(tower.seconds / Double(tower.tiles)), "s"])
    }
    if let router = report.router {
      rows.append(["router, \(tiles(router.tiles))", NumberText.fixed(router.seconds * 1000, digits: 0), "ms"])
    }
    rows += report.prefill.map {
      [
        "prompt of \($0.rows)", NumberText.fixed($0.tokensPerSecond, digits: 1),
        "tokens/s, " + limit($0.tokensPerSecond, report.prefillLimit),
      ]
    }
    rows += report.decode.map {
      [
        "decoding after \($0.depth)", NumberText.fixed($0.tokensPerSecond, digits: 2),
        "tokens/s, " + limit($0.tokensPerSecond, report.limit(of: $0)),
      ]
    }
    rows.append(["peak memory", NumberText.bytes(report.peakResidentBytes), ""])
    return rows
  }

  private static func tiles(_ count: Int) -> String { count == 1 ? "1 tile" : "\(count) tiles" }

  private static func limit(_ rate: Double, _ limit: Double) -> String {
    "\(NumberText.fixed(rate / limit * 100, digits: 0)) % of the limit"
  }
}
