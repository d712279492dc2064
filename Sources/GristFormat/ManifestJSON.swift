import GristCore

extension Manifest {
  var json: JSONValue {
    [
      "revision": JSONValue(Self.revision),
      "provenance": provenance.json,
      "segments": .array(
        segments.map {
          ["name": JSONValue($0.name), "first": JSONValue($0.first), "count": JSONValue($0.count)]
        }),
      "tensors": .array(
        tensors.map {
          var tensor: JSONObject = [
            "name": JSONValue($0.name), "source_name": JSONValue($0.sourceName), "shape": JSONValue($0.shape),
            "scheme": $0.scheme.json,
            "source_element": JSONValue($0.sourceElement.rawValue), "relative_error": JSONValue($0.relativeError),
          ]
          if let worst = $0.worstRowError { tensor["worst_row_error"] = JSONValue(worst) }
          tensor["chunks"] = $0.chunks.json
          return .object(tensor)
        }),
      "files": .array(
        files.map {
          [
            "name": JSONValue($0.name), "bytes": JSONValue($0.byteCount), "sha256": JSONValue($0.sha256),
            "chunks": $0.chunks.json,
          ]
        }),
    ]
  }

  /// Reads a manifest; throws 65 for whatever is missing, of the wrong kind, or unknown to this version. Whether the
  /// numbers fit the chunks is checked by ``GristFile``.
  init(_ json: JSONReader) throws {
    guard let revision = json.value("revision")?.integer, Self.revisions.contains(revision) else {
      throw GristError(
        .badData, "a file of an earlier or later layout than this version reads", file: json.file,
        found: "revision \(json.value("revision")?.text() ?? "1") instead of \(Self.revision)",
        advice: "convert the checkpoint again with this version")
    }
    try json.allow(only: ["revision", "provenance", "segments", "tensors", "files"])
    provenance = try Provenance(json.object("provenance"))
    segments = try json.objects("segments").map { segment in
      try segment.allow(only: ["name", "first", "count"])
      return SegmentRecord(
        name: try segment.string("name"), first: try segment.integer("first", in: ChunkRun.numbers),
        count: try segment.integer("count", in: ChunkRun.numbers))
    }
    tensors = try json.objects("tensors").map { tensor in
      try tensor.allow(only: [
        "name", "source_name", "shape", "scheme", "source_element", "relative_error", "worst_row_error", "chunks",
      ])
      guard let element = ElementType(rawValue: try tensor.string("source_element")) else {
        throw tensor.failure("source_element", "an element type")
      }
      let name = try tensor.string("name")
      var record = TensorRecord(
        name: name, sourceName: try tensor.string("source_name"), shape: try tensor.integers("shape", in: 0...Int.max),
        scheme: try locating(tensor: name) { try TensorScheme(tensor.object("scheme")) }, sourceElement: element,
        relativeError: try tensor.double("relative_error"),
        worstRowError: tensor.has("worst_row_error") ? try tensor.double("worst_row_error") : nil)
      record.chunks = try ChunkRun(tensor.object("chunks"))
      return record
    }
    files = try json.objects("files").map { file in
      try file.allow(only: ["name", "bytes", "sha256", "chunks"])
      var record = FileRecord(
        name: try file.string("name"), byteCount: try file.integer("bytes", in: 0...Int.max),
        sha256: try file.string("sha256"))
      record.chunks = try ChunkRun(file.object("chunks"))
      return record
    }
  }
}

extension Provenance.Step {
  /// The step as the manifest holds it.
  package var json: JSONValue {
    var json: JSONObject = ["tool": JSONValue(tool), "recipe": JSONValue(recipe), "lossy": JSONValue(isLossy)]
    if let calibration { json["calibration"] = JSONValue(calibration) }
    return .object(json)
  }
}

extension Provenance {
  fileprivate var json: JSONValue {
    var json: JSONObject = [
      "tool": JSONValue(tool), "architecture": JSONValue(architecture), "recipe": JSONValue(recipe),
      "overrides": JSONValue(overrides), "packing": JSONValue(packing.rawValue), "fingerprint": JSONValue(fingerprint),
      "sources": .array(
        sources.map { ["name": JSONValue($0.name), "bytes": JSONValue($0.byteCount), "sha256": JSONValue($0.sha256)] }),
      "lineage": .array(lineage.map(\.json)), "ignored_keys": JSONValue(ignoredKeys),
    ]
    if let promptTemplate { json["prompt_template"] = JSONValue(promptTemplate) }
    return .object(json)
  }

  fileprivate init(_ json: JSONReader) throws {
    try json.allow(only: [
      "tool", "architecture", "recipe", "overrides", "packing", "fingerprint", "sources", "lineage", "ignored_keys",
      "prompt_template",
    ])
    guard let packing = Packing(rawValue: try json.string("packing")) else {
      throw json.failure("packing", "zstd or raw")
    }
    self.init(
      tool: try json.string("tool"), architecture: try json.string("architecture"), recipe: try json.string("recipe"),
      overrides: try json.strings("overrides"), packing: packing, fingerprint: try json.string("fingerprint"),
      sources: try json.objects("sources").map { source in
        try source.allow(only: ["name", "bytes", "sha256"])
        return Source(
          name: try source.string("name"), byteCount: try source.integer("bytes", in: 0...Int.max),
          sha256: try source.string("sha256"))
      },
      // A file that does not tell what its weights went through is taken to have lost something.
      lineage: try json.objects("lineage", default: []).map { step in
        try step.allow(only: ["tool", "recipe", "lossy", "calibration"])
        return Step(
          tool: try step.string("tool"), recipe: try step.string("recipe"), isLossy: try step.bool("lossy"),
          calibration: step.has("calibration") ? try step.string("calibration") : nil)
      }, ignoredKeys: try json.strings("ignored_keys", default: []),
      promptTemplate: json.has("prompt_template") ? try json.string("prompt_template") : nil)
  }
}

extension ChunkRun {
  fileprivate static let numbers = 0...Int(UInt32.max)

  fileprivate var json: JSONValue {
    ["first": JSONValue(first), "count": JSONValue(count), "units": JSONValue(unitsPerChunk)]
  }

  fileprivate init(_ json: JSONReader) throws {
    try json.allow(only: ["first", "count", "units"])
    self.init(
      first: try json.integer("first", in: Self.numbers), count: try json.integer("count", in: Self.numbers),
      // A chunk holds less than 4 GiB, and a unit is a byte at least.
      unitsPerChunk: try json.integer("units", in: 1...Int(UInt32.max)))
  }
}
