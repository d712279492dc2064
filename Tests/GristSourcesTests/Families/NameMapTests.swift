import Foundation
import GristCore
import GristSources
import TestSupport
import Testing

private func map(_ rules: String) throws -> NameMap {
  try NameMap("map test\nabout a test\n" + rules, file: "test.map")
}

/// A checkpoint of small f32 tensors whose values count up from 0 in each.
private func checkpoint(_ tensors: [(name: String, shape: [Int])], in folder: TemporaryFolder) throws -> Checkpoint {
  var writer = SafetensorsWriter()
  for (name, shape) in tensors {
    try writer.add(name, shape: shape, floats: (0..<shape.reduce(1, *)).map { Float($0) })
  }
  try folder.write("model.safetensors", writer.encoded.array)
  return try Checkpoint(path: folder.path)
}

private func values(_ tensor: SourceTensor?) throws -> [Float] {
  let bytes = try #require(tensor).bytes()
  return (0..<bytes.count / 4).compactMap { bytes.integer(at: 4 * $0, as: UInt32.self).map(Float.init(bitPattern:)) }
}

@Suite("Name maps") struct NameMapTests {
  static let renamings: [(rule: String, name: String, becomes: String)] = [
    ("a.b -> x.y", "a.b", "x.y"),
    ("a.{i}.b -> x.{i}", "a.12.b", "x.12"),
    ("a_{i} -> x.{i}", "a_3", "x.3"),
    ("a{_i}.w -> x.{i}.w", "a.w", "x.0.w"),
    ("a{_i}.w -> x.{i}.w", "a_7.w", "x.7.w"),
    ("a.{rest...} -> x.{rest...}", "a.b.c.d", "x.b.c.d"),
    ("a.{rest...}.w -> x.{rest...}", "a.b.w.w", "x.b.w"),
    ("{rest...} -> {rest...}", "a/b/0/c", "a.b.0.c"),
    ("{i}.{j}.{i} -> {j}.{i}", "1.2.1", "2.1"),
    ("m/{a...}/kernel:0 -> {a...}.weight", "m/dense_1/kernel:0", "dense_1.weight"),
  ]

  @Test("places are filled", arguments: renamings)
  func renames(rule: String, name: String, becomes: String) throws {
    let folder = try TemporaryFolder()
    let canonical = try checkpoint([(name, [2])], in: folder).canonical(map: map(rule))
    #expect(canonical.tensors.map(\.name) == [becomes] && canonical.tensors.map(\.sourceName) == [name])
  }

  @Test(
    "what does not match stays as it is",
    arguments: [
      ("a.b -> x", "a.c"), ("a.b -> x", "a.b.c"), ("a.{i} -> x.{i}", "a.b"), ("a.{i} -> x.{i}", "a.01"),
      ("a{_i} -> x.{i}", "a_0"), ("{i}.{i} -> {i}", "1.2"), ("a.{rest...} -> {rest...}", "a"),
    ])
  func doesNotMatch(rule: String, name: String) throws {
    let folder = try TemporaryFolder()
    #expect(try checkpoint([(name, [2])], in: folder).canonical(map: map(rule)).tensors.map(\.name) == [name])
  }

  @Test("layouts: transpose, reshape, split, join")
  func layouts() throws {
    let folder = try TemporaryFolder()
    let source = try checkpoint(
      [("t", [2, 3]), ("h", [2, 2, 2]), ("s", [4, 2]), ("q", [1, 2]), ("k", [2, 2])], in: folder)
    let canonical = try source.canonical(
      map: map(
        """
        t -> t : transpose
        h -> h : reshape 0,1*2 | transpose 1,0
        s -> s1 : split 1/2
        s -> s2 : split 2/2 | transpose
        k -> qk : join 2/2
        q -> qk : join 1/2
        """))
    #expect(canonical.tensors.map(\.name) == ["h", "qk", "s1", "s2", "t"])
    #expect(canonical.tensors.map(\.shape) == [[4, 2], [3, 2], [2, 2], [2, 2], [3, 2]])
    #expect(try values(canonical.tensor(named: "t")) == [0, 3, 1, 4, 2, 5])
    #expect(try values(canonical.tensor(named: "h")) == [0, 4, 1, 5, 2, 6, 3, 7])
    #expect(try values(canonical.tensor(named: "s1")) == [0, 1, 2, 3])
    #expect(try values(canonical.tensor(named: "s2")) == [4, 6, 5, 7])
    #expect(try values(canonical.tensor(named: "qk")) == [0, 1, 0, 1, 2, 3])
    let joined = try #require(canonical.tensor(named: "qk"))
    #expect(try joined.bytes(4..<20).array == Array(joined.bytes().array[4..<20]))
  }

  @Test("any transpose is where its axes say, and its opposite brings every value back")
  func transposes() throws {
    let orders = [
      [0], [1, 0], [0, 1], [2, 0, 1], [0, 2, 1], [1, 2, 0], [2, 1, 0], [1, 0, 2], [3, 1, 0, 2], [0, 1, 3, 2],
    ]
    for order in orders {
      let shape = [5, 37, 3, 2].prefix(order.count).map { $0 }
      let folder = try TemporaryFolder()
      let source = try checkpoint([("t", shape)], in: folder)
      let step = LayoutStep.transpose(order)
      let there = try source.canonical(map: map("t -> t : \(step.text)"))
      let tensor = try #require(there.tensor(named: "t"))
      #expect(tensor.shape == order.map { shape[$0] })
      let got = try values(tensor)
      for (flat, value) in got.enumerated() {
        var (rest, index) = (flat, [Int](repeating: 0, count: order.count))
        for axis in order.indices.reversed() {
          index[order[axis]] = rest % tensor.shape[axis]
          rest /= tensor.shape[axis]
        }
        #expect(value == Float(zip(index, shape).reduce(0) { $0 * $1.1 + $1.0 }))
      }
      let inverse = try #require(step.inverse)
      let back = try there.canonical(map: map("t -> t : \(inverse.text)"))
      #expect(try values(back.tensor(named: "t")) == (0..<got.count).map { Float($0) })
    }
  }

  @Test("what is left out is said, with its reason and number")
  func leftOut() throws {
    let folder = try TemporaryFolder()
    let canonical = try checkpoint([("a.0.freq", [1]), ("a.1.freq", [1]), ("b", [1])], in: folder)
      .canonical(map: map("{rest...}.freq -> left out: computed anew"))
    #expect(canonical.tensors.map(\.name) == ["b"])
    #expect(canonical.notes.contains("2 tensors are left out: computed anew"))
    #expect(canonical.notes.contains { $0.contains("the map test (a test): as asked") })
  }

  @Test("positions may be left out where they count from 0, and only there")
  func counting() throws {
    let map = try map("a.ids -> left out if it counts from 0: positions\nb -> b")
    func open(_ values: [Int32]) throws -> Checkpoint {
      let folder = try TemporaryFolder()
      let bytes = values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
      let header = #"{"a.ids":{"dtype":"I32","shape":[1,\#(values.count)],"data_offsets":[0,\#(bytes.count)]}}"#
      let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
      try folder.write("model.safetensors", length + Array(header.utf8) + bytes)
      return try Checkpoint(path: folder.path).canonical(map: map)
    }
    #expect(try open([0, 1, 2]).tensors.isEmpty)
    for other: [Int32] in [[0, 0, 0], [1, 2, 3], [0, 2, 1]] {
      let error = try #require(throws: GristError.self) { _ = try open(other) }
      #expect(error.code == .badData && error.tensor == "a.ids" && error.what.contains("do not count from 0"))
    }
  }

  static let mistakes: [(rules: String, sentence: String)] = [
    ("a b", "line 3 of the name map: no \"->\""), ("{a -> b", "no pattern of a name"),
    ("{} -> b", "no pattern of a name"),
    ("a -> {i}", "no name that the pattern's places can fill"), ("a -> b : turn", "an unknown step: found turn"),
    ("a -> b : transpose 0,0", "an unknown step"), ("a -> b : split 3/2", "an unknown step"),
    ("a -> b : reshape x", "an unknown step"), ("# nothing", "the name map has no rule"),
  ]

  @Test("a map that makes no sense is refused with its line", arguments: mistakes)
  func refused(rules: String, sentence: String) throws {
    let error = try #require(throws: GristError.self) { _ = try map(rules) }
    #expect(error.code == .badData && error.file == "test.map" && "\(error)".contains(sentence), "\(error)")
  }

  @Test(
    "tensors that do not come out as the map says are refused by name",
    arguments: [
      (
        "a -> c\nb -> c",
        "two tensors become one"
      ), ("a -> c : transpose 1,0", "does not fit the shape (tensor a): found [3]"),
      ("a -> c : split 1/2", "does not fit the shape"), ("a -> c : join 1/2", "not all parts of a tensor are there"),
      ("a -> c : join 1/2\nb -> c : join 2/2", "do not fit behind each other"),
      ("a -> c : reshape 1", "does not fit the shape"),
    ])
  func misfits(rules: String, sentence: String) throws {
    let folder = try TemporaryFolder()
    let source = try checkpoint([("a", [3]), ("b", [2, 2])], in: folder)
    let error = try #require(throws: GristError.self) { _ = try source.canonical(map: map(rules)) }
    #expect(error.code == .badData && error.file != nil && "\(error)".contains(sentence), "\(error)")
  }

  @Test("every map of Formats/maps can be read, and gives no two names of a checkpoint the same one")
  func bundled() throws {
    let folder = Fixtures.folder + "/../../Formats/maps"
    let files = try folderContents(folder).filter { $0.hasSuffix(".map") }
    #expect(files.count >= 2)
    for file in files {
      let map = try NameMap(path: joinPath(folder, file))
      #expect(map.name + ".map" == file && !map.about.isEmpty)
    }
  }

  @Test("every rule of every bundled map moves values about, and loses and doubles none")
  func bijections() throws {
    let folder = Fixtures.folder + "/../../Formats/maps"
    var rules = 0
    for file in try folderContents(folder) where file.hasSuffix(".map") {
      let map = try NameMap(path: joinPath(folder, file))
      let text = try #require(readFile(joinPath(folder, file)).utf8)
      for line in text.split(separator: "\n") where line.contains(" -> ") && !line.contains("left out") {
        let (pattern, steps) = (line.prefix { $0 != " " }, line.split(separator: " : ").dropFirst().joined())
        let name = pattern.replacing("{i}", with: "3").replacing("{_i}", with: "_2").replacing("{n}", with: "1")
          .replacing("{rest...}", with: "some.thing").replacing("{at...}", with: "layers/x")
        #expect(!name.contains("{"), "\(line)")
        let axes = steps.split { !$0.isNumber }.compactMap { Int($0) }.max().map { $0 + 1 }
        let shape = [2, 3, 5, 7].prefix(axes ?? (steps.contains("transpose") ? 2 : 1))
        let temporary = try TemporaryFolder()
        let source = try checkpoint([(String(name), Array(shape))], in: temporary)
        let tensors = try source.canonical(map: map).tensors
        #expect(tensors.count == 1 && tensors[0].sourceName == String(name), "\(line)")
        let moved = try values(tensors[0])
        #expect(moved.sorted() == (0..<moved.count).map(Float.init) && moved.count == shape.reduce(1, *), "\(line)")
        rules += 1
      }
    }
    #expect(rules > 45)
  }
}

/// A family that nobody ships: what Docs/families.md walks through.
private struct MadeUpFamily: ModelFamily {
  let name = "made_up"
  let architectures = ["MadeUpForConditionalGeneration"]
  let modelTypes = ["made_up"]
  let maps: [NameMap]

  init() throws {
    maps = [
      try NameMap(
        """
        map made-up
        about the made-up family's names, kernels [in, out]
        words            ->  model.embed_tokens.weight
        block{_i}.q      ->  model.layers.{i}.self_attn.q_proj.weight : transpose
        block{_i}.k      ->  model.layers.{i}.self_attn.k_proj.weight : transpose
        block{_i}.v      ->  model.layers.{i}.self_attn.v_proj.weight : transpose
        block{_i}.o      ->  model.layers.{i}.self_attn.o_proj.weight : transpose
        block{_i}.gate_up -> model.layers.{i}.mlp.gate_proj.weight    : transpose | split 1/2
        block{_i}.gate_up -> model.layers.{i}.mlp.up_proj.weight      : transpose | split 2/2
        block{_i}.down   ->  model.layers.{i}.mlp.down_proj.weight    : transpose
        block{_i}.norm1  ->  model.layers.{i}.input_layernorm.weight
        block{_i}.norm2  ->  model.layers.{i}.post_attention_layernorm.weight
        norm             ->  model.norm.weight
        output           ->  lm_head.weight : transpose
        """, file: "made-up.map")
    ]
  }

  func configuration(_ json: JSONReader, _ files: SideFiles) throws -> ModelConfiguration {
    let language = try LanguageConfiguration(json.object("language"), backbone: .llama, absences: .areDefaults)
    return ModelConfiguration(family: name, language: language, vision: nil, format: .builtIn(.llava))
  }
}

@Suite("Adding a family") struct FamilyTests {
  @Test("one value and one map, and its checkpoints are read")
  func madeUp() throws {
    let folder = try TemporaryFolder()
    let config = """
      {"architectures": ["MadeUpForConditionalGeneration"], "language": {"vocab_size": 8, "hidden_size": 4,
       "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2}}
      """
    try folder.write("config.json", Array(config.utf8))
    var tensors: [(name: String, shape: [Int])] = [("words", [8, 4]), ("norm", [4]), ("output", [4, 8])]
    for block in ["block", "block_1"] {
      tensors += ["q", "k", "v", "o"].map { ("\(block).\($0)", [4, 4]) }
      tensors += [
        ("\(block).gate_up", [4, 12]), ("\(block).down", [6, 4]), ("\(block).norm1", [4]), ("\(block).norm2", [4]),
      ]
    }
    let families: [any ModelFamily] = [try MadeUpFamily()]
    let canonical = try checkpoint(tensors, in: folder).canonical(families: families)
    #expect(canonical.notes.contains { $0.contains("made-up") && $0.contains("21 of 21 tensors") })
    let configuration = try ModelConfiguration(path: folder.path, families: families) { canonical.sideFile(named: $0) }
    #expect(configuration.family == "made_up" && configuration.format.builtInTemplate == .llava)
    for expected in configuration.expectedTensors {
      #expect(canonical.tensor(named: expected.name)?.shape == expected.shape, "\(expected.name)")
    }
    // Column 6 of gate_up is the first of up.
    #expect(try values(canonical.tensor(named: "model.layers.1.mlp.up_proj.weight"))[..<4] == [6, 18, 30, 42])
    #expect(try checkpoint(tensors, in: folder).canonical().tensors.map(\.name) == tensors.map(\.name).sorted())
  }
}

extension Checkpoint {
  /// The checkpoint under canonical names.
  func canonical(map: NameMap? = nil, families: [any ModelFamily] = ModelFamilies.builtIn) throws -> Checkpoint {
    try #require(Source(self, options: SourceOptions(map: map, families: families)).checkpoint)
  }
}
