import GristCore

extension Manifest {
  var json: JSONValue {
    [
      "minor": JSONValue(GristLayout.minorVersion),
      "requires": provenance.correctsUnpadding ? [JSONValue(GristLayout.correctedUnpadding)] : [],
      "provenance": provenance.json,
      "segments": .array(segments.map(\.json)),
      "tensors": .array(tensors.map(\.json)),
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
    provenance = try Provenance(
      json.object("provenance"),
      correctsUnpadding: json.strings("requires").contains(GristLayout.correctedUnpadding))
    segments = try json.objects("segments").map { segment in
      SegmentRecord(
        name: try segment.string("name"), first: try segment.integer("first", in: ChunkRun.numbers),
        count: try segment.integer("count", in: ChunkRun.numbers))
    }
    tensors = try json.objects("tensors").map { try TensorRecord($0) }
    files = try json.objects("files").map { file in
      var record = FileRecord(
        name: try file.string("name"), byteCount: try file.integer("bytes", in: 0...Int.max),
        sha256: try file.string("sha256"))
      record.chunks = try ChunkRun(file.object("chunks"))
      return record
    }
  }
}

extension TensorRecord {
  fileprivate var json: JSONValue {
    var json: JSONObject = ["name": JSONValue(name), "source_name": JSONValue(origin.name)]
    if let source = origin.source { json["source"] = JSONValue(source) }
    if let shape = origin.shape { json["source_shape"] = JSONValue(shape) }
    if let layout = origin.layout { json["source_layout"] = JSONValue(layout) }
    if !origin.aliases.isEmpty { json["source_aliases"] = JSONValue(origin.aliases) }
    json["shape"] = JSONValue(shape)
    json["scheme"] = scheme.json
    json["source_element"] = JSONValue(origin.element.rawValue)
    json["relative_error"] = JSONValue(relativeError)
    if let worstRowError { json["worst_row_error"] = JSONValue(worstRowError) }
    if let unused { json["unused"] = JSONValue(unused) }
    json["chunks"] = chunks.json
    return .object(json)
  }

  fileprivate init(_ json: JSONReader) throws {
    guard let element = ElementType(rawValue: try json.string("source_element")) else {
      throw json.failure("source_element", "an element type")
    }
    let extents = 0...Int.max
    self.init(
      name: try json.string("name"),
      origin: Origin(
        name: try json.string("source_name"), element: element,
        source: json.has("source") ? try json.integer("source", in: ChunkRun.numbers) : nil,
        shape: json.has("source_shape") ? try json.integers("source_shape", in: extents) : nil,
        layout: json.has("source_layout") ? try json.string("source_layout") : nil,
        aliases: try json.strings("source_aliases", default: [])),
      shape: try json.integers("shape", in: extents), scheme: TensorScheme(stored: try json.object("scheme")),
      relativeError: try json.double("relative_error"),
      worstRowError: json.has("worst_row_error") ? try json.double("worst_row_error") : nil,
      unused: json.has("unused") ? try json.string("unused") : nil)
    chunks = try ChunkRun(json.object("chunks"))
    planes = try json.objects("planes", default: []).map { plane in
      // Its scheme matters to those that use it.
      _ = try plane.object("scheme")
      return Plane(role: try plane.string("role"), chunks: try ChunkRun(plane.object("chunks")))
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
    if let alignment {
      json["trained"] = JSONValue(Provenance.Alignment.part)
      json["trained_values"] = JSONValue(alignment.digest)
      json["training"] = JSONValue(alignment.summary)
    }
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

  fileprivate init(_ json: JSONReader, correctsUnpadding: Bool) throws {
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
          calibration: step.has("calibration") ? try step.string("calibration") : nil,
          alignment: try Alignment(step))
      }, ignoredKeys: try json.strings("ignored_keys", default: []),
      promptTemplate: json.has("prompt_template") ? try json.string("prompt_template") : nil,
      correctsUnpadding: correctsUnpadding)
  }
}

extension Provenance.Alignment {
  /// The one part that this version trains.
  fileprivate static let part = "router"

  /// Nil where nothing was trained.
  fileprivate init?(_ step: JSONReader) throws {
    guard step.has("trained") else { return nil }
    // Another part's training says as much: choices may be other ones.
    let part = try step.string("trained")
    self.init(
      digest: try step.string("trained_values", default: ""), summary: try step.string("training", default: part))
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
