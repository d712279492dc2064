import GristCore

extension Manifest {
  var json: JSONValue {
    [
      "minor": JSONValue(GristLayout.minorVersion),
      "requires": [],
      "provenance": provenance.json,
      "segments": .array(segments.map(\.json)),
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
      "files": .array(files.map(\.json)),
    ]
  }

  /// Reads a manifest. Members that this version does not know are passed over, but those that `requires` names.
  /// Whether the numbers fit the chunks is checked by ``GristFile``.
  ///
  /// - Throws: 65 for whatever is missing, of the wrong kind, or required and unknown to this version.
  init(_ json: JSONReader) throws {
    if let feature = try json.strings("requires").first(where: { !GristLayout.features.contains($0) }) {
      throw GristError(
        .badData, "the file asks for something that this version does not know", file: json.file, found: feature,
        advice: "use a newer gristmill")
    }
    _ = try json.integer("minor", in: 0...Int(UInt32.max))
    provenance = try Provenance(json.object("provenance"))
    segments = try json.objects("segments").map { segment in
      SegmentRecord(
        name: try segment.string("name"), first: try segment.integer("first", in: ChunkRun.numbers),
        count: try segment.integer("count", in: ChunkRun.numbers))
    }
    tensors = try json.objects("tensors").map { tensor in
      guard let element = ElementType(rawValue: try tensor.string("source_element")) else {
        throw tensor.failure("source_element", "an element type")
      }
      let name = try tensor.string("name")
      var record = TensorRecord(
        name: name, sourceName: try tensor.string("source_name"), shape: try tensor.integers("shape", in: 0...Int.max),
        scheme: TensorScheme(stored: try tensor.object("scheme")), sourceElement: element,
        relativeError: try tensor.double("relative_error"),
        worstRowError: tensor.has("worst_row_error") ? try tensor.double("worst_row_error") : nil)
      record.chunks = try ChunkRun(tensor.object("chunks"))
      record.planes = try tensor.objects("planes", default: []).map { plane in
        // Its scheme matters to those that use it.
        _ = try plane.object("scheme")
        return TensorRecord.Plane(role: try plane.string("role"), chunks: try ChunkRun(plane.object("chunks")))
      }
      return record
    }
    files = try json.objects("files").map { file in
      var record = FileRecord(
        name: try file.string("name"), byteCount: try file.integer("bytes", in: 0...Int.max),
        sha256: try file.string("sha256"))
      record.chunks = try ChunkRun(file.object("chunks"))
      return record
    }
  }
}

extension SegmentRecord {
  var json: JSONValue { ["name": JSONValue(name), "first": JSONValue(first), "count": JSONValue(count)] }
}

extension FileRecord {
  var json: JSONValue {
    ["name": JSONValue(name), "bytes": JSONValue(byteCount), "sha256": JSONValue(sha256), "chunks": chunks.json]
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
    guard let packing = Packing(rawValue: try json.string("packing")) else {
      throw json.failure("packing", "zstd or raw")
    }
    self.init(
      tool: try json.string("tool"), architecture: try json.string("architecture"), recipe: try json.string("recipe"),
      overrides: try json.strings("overrides"), packing: packing, fingerprint: try json.string("fingerprint"),
      sources: try json.objects("sources").map { source in
        Source(
          name: try source.string("name"), byteCount: try source.integer("bytes", in: 0...Int.max),
          sha256: try source.string("sha256"))
      },
      // A file that does not tell what its weights went through is taken to have lost something.
      lineage: try json.objects("lineage", default: []).map { step in
        Step(
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
    self.init(
      first: try json.integer("first", in: Self.numbers), count: try json.integer("count", in: Self.numbers),
      // A chunk holds less than 4 GiB, and a unit is a byte at least.
      unitsPerChunk: try json.integer("units", in: 1...Int(UInt32.max)))
  }
}
