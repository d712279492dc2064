import GristCore

extension BenchmarkReport {
  /// The report as one JSON document; see Docs/command.md.
  package var json: JSONValue {
    guard let streaming, case .object(var object) = withoutStreaming else { return withoutStreaming }
    object["streaming"] = [
      "bytes_a_pass": JSONValue(streaming.bytesAPass), "planned_bytes_a_pass": JSONValue(streaming.plan.streamedBytes),
      "bytes_per_s": JSONValue(streaming.bytesPerSecond),
      "reading_alone_bytes_per_s": JSONValue(streaming.readerBytesPerSecond),
      "of_reader": JSONValue(streaming.ofReader),
      "budget": JSONValue(streaming.plan.budget), "peak_bytes": JSONValue(streaming.plan.peakBytes),
    ]
    return .object(object)
  }

  private var withoutStreaming: JSONValue {
    [
      "model": JSONValue(model), "recipe": recipe.map { JSONValue($0) } ?? .null,
      "packing": packing.map { JSONValue($0) } ?? .null, "threads": JSONValue(threads),
      "isa": JSONValue(instructionSet), "activations": JSONValue(activations.rawValue),
      "repetitions": JSONValue(repetitions), "open_ms": JSONValue(openSeconds * 1000),
      "first_row_ms": JSONValue(firstRowSeconds * 1000),
      "tower": tower.map {
        ["tiles": JSONValue($0.tiles), "s_per_tile": JSONValue($0.seconds / Double($0.tiles))]
      } ?? .null,
      "router": router.map { ["tiles": JSONValue($0.tiles), "ms": JSONValue($0.seconds * 1000)] } ?? .null,
      "prefill": .array(
        prefill.map {
          [
            "tokens": JSONValue($0.rows), "s": JSONValue($0.seconds), "tokens_per_s": JSONValue($0.tokensPerSecond),
            "of_limit": JSONValue($0.tokensPerSecond / prefillLimit),
          ]
        }),
      "decode": .array(
        decode.map {
          [
            "depth": JSONValue($0.depth), "tokens": JSONValue($0.tokens),
            "tokens_per_s": JSONValue($0.tokensPerSecond),
            "of_limit": JSONValue($0.tokensPerSecond / limit(of: $0)),
            "memory_read_bytes_per_s": $0.memoryReadBytesPerSecond.map { JSONValue($0) } ?? .null,
          ]
        }),
      "weight_bytes_per_token": JSONValue(cost.weightBytesPerToken),
      "operations_per_row": JSONValue(cost.operationsPerRow), "cache_bytes_per_token": JSONValue(cacheBytesPerToken),
      "peak_resident_bytes": JSONValue(peakResidentBytes),
      "limits": [
        "memory_read_bytes_per_s": JSONValue(limits.memoryReadBytesPerSecond),
        "int8_operations_per_s": JSONValue(limits.int8OperationsPerSecond),
      ],
    ]
  }
}
