import GristCore
import GristModel

extension RunningMemory {
  /// For people, one line.
  var sentence: String {
    "running takes \(NumberText.bytes(weightBytes)) for weights, \(NumberText.bytes(cacheBytesPerRow)) for each row of prompt and "
      + "answer\(pictureRows > 0 ? " (a picture is \(pictureRows) at most)" : ""), and up to "
      + "\(NumberText.bytes(scratchBytes)) of scratch"
  }

  var json: JSONValue {
    [
      "weight_bytes": JSONValue(weightBytes), "cache_bytes_per_row": JSONValue(cacheBytesPerRow),
      "picture_rows": JSONValue(pictureRows), "scratch_bytes": JSONValue(scratchBytes),
    ]
  }
}

extension StreamingStatistics {
  /// For people, a clause.
  var sentence: String {
    "\(NumberText.bytes(Int(bytesPerSecond))) a second streamed, where the disk gives "
      + NumberText.bytes(Int(bytesPerReadingSecond))
  }
}
