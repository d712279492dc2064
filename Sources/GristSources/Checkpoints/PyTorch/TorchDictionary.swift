import GristCore

/// What a pickled state dictionary says of its tensors: torch's own way of writing them (`torch/serialization.py`,
/// `torch/_utils.py`), by 1.6 and later.
struct TorchDictionary {
  struct Tensor {
    let name: String
    let elementType: ElementType
    /// The name of the archive's member that holds the values, and how many it holds.
    let storage: String
    let storageCount: Int
    /// In elements.
    let offset: Int
    let shape: [Int]
    let strides: [Int]
  }

  let tensors: [Tensor]
  let notes: [String]

  /// Functions and classes that tensors are made of. Names of storages and types are in their own tables.
  private static let functions: Set<String> = [
    "collections.OrderedDict", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._tensor._rebuild_from_type_v2", "torch.Size", "torch.Tensor",
    "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.device", "torch.storage.UntypedStorage",
  ]

  private static let storages: [String: ElementType] = [
    "torch.DoubleStorage": .f64, "torch.FloatStorage": .f32, "torch.HalfStorage": .f16, "torch.BFloat16Storage": .bf16,
    "torch.LongStorage": .i64, "torch.IntStorage": .i32, "torch.ShortStorage": .i16, "torch.CharStorage": .i8,
    "torch.ByteStorage": .u8, "torch.BoolStorage": .bool,
  ]

  private static let types: [String: ElementType] = [
    "torch.float64": .f64, "torch.float32": .f32, "torch.float16": .f16, "torch.bfloat16": .bf16, "torch.int64": .i64,
    "torch.int32": .i32, "torch.int16": .i16, "torch.int8": .i8, "torch.uint8": .u8, "torch.bool": .bool,
    "torch.uint16": .u16, "torch.uint32": .u32, "torch.uint64": .u64, "torch.float8_e4m3fn": .f8E4M3,
    "torch.float8_e5m2": .f8E5M2, "torch.float8_e4m3fnuz": .f8E4M3FNUZ, "torch.float8_e5m2fnuz": .f8E5M2FNUZ,
    "torch.float8_e8m0fnu": .f8E8M0,
  ]

  static func allows(_ name: String) -> Bool { functions.contains(name) || storages[name] != nil || types[name] != nil }

  /// - Parameters:
  ///   - pickled: the archive's `data.pkl`.
  ///   - path: the archive, for messages.
  ///   - start: where the data begin in it, for messages.
  ///
  /// - Throws: 65 for anything that is no dictionary of tensors.
  init(_ pickled: Bytes, path: String, start: Int) throws {
    let (value, reader) = try PickleReader.read(pickled, path: path, start: start, allows: Self.allows)
    let names = Reading(reader: reader)
    var notes: [String] = []
    var entries = try names.entries(of: value)
    let isNested = !entries.contains { names.isTensor($0.value) }
    if isNested, let inner = entries.first(where: { ["state_dict", "model", "module"].contains($0.name) }),
      case .dictionary = inner.value
    {
      notes.append("the weights are under \"\(inner.name)\"; what stands beside them is left out")
      entries = try names.entries(of: inner.value)
    }
    var tensors: [String: Tensor] = [:]
    var others: [String] = []
    for entry in entries {
      if let tensor = try locating(tensor: entry.name, { try names.tensor(entry.name, entry.value) }) {
        tensors[entry.name] = tensor
      } else {
        others.append(entry.name)
      }
    }
    guard !tensors.isEmpty else {
      throw GristError(
        .badData, "the file holds no dictionary of tensors", file: path,
        found: others.prefix(3).joined(separator: ", "),
        advice: "save the model's state_dict()")
    }
    if let first = others.first {
      notes.append(
        "\(first)\(others.count > 1 ? " and \(others.count - 1) more are" : " is") no tensor and left out")
    }
    self.tensors = tensors.values.sorted { ByteName($0.name) < ByteName($1.name) }
    self.notes = notes
  }

  /// What values mean.
  private struct Reading {
    typealias Value = PickleReader.Value
    let reader: PickleReader

    func entries(of value: Value) throws -> [(name: String, value: Value)] {
      guard case .dictionary(let place) = value else {
        throw reader.failure(
          "the file holds no dictionary of tensors", advice: "save the model's state_dict(), not the model")
      }
      return reader.dictionaries[place].compactMap { key, value in
        if case .text(let name) = key { (name, value) } else { nil }
      }
    }

    func isTensor(_ value: Value) -> Bool {
      guard case .call(let place) = value else { return false }
      return reader.calls[place].function.contains("_rebuild_")
    }

    private func integer(_ value: Value) -> Int? { if case .integer(let number) = value { number } else { nil } }

    /// A shape or strides: a tuple, or a `torch.Size` of one.
    private func extents(_ value: Value) -> [Int]? {
      switch value {
      case .tuple(let place):
        let numbers = reader.tuples[place].compactMap(integer)
        return numbers.count == reader.tuples[place].count && numbers.count <= 16 && numbers.allSatisfy { $0 >= 0 }
          ? numbers : nil
      case .call(let place) where reader.calls[place].function == "torch.Size":
        return reader.calls[place].arguments.first.flatMap(extents)
      default: return nil
      }
    }

    /// Nil for what is no tensor. Parameters are tensors in another coat, and subclasses of tensors in a coat of
    /// theirs.
    func tensor(_ name: String, _ value: Value) throws -> Tensor? {
      var value = value
      for _ in 0..<4 {
        guard case .call(let place) = value else { return nil }
        let (function, arguments) = (reader.calls[place].function, reader.calls[place].arguments)
        switch function {
        case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
          guard let inner = arguments.first else { throw broken(function) }
          value = inner
        case "torch._tensor._rebuild_from_type_v2":
          guard arguments.count >= 3, case .global(let made) = arguments[0], case .tuple(let inner) = arguments[2],
            case .global("torch.nn.parameter.Parameter") = arguments[1]
          else { throw broken(function) }
          return try tensor(name, function: made, reader.tuples[inner])
        case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
          return try tensor(name, function: function, arguments)
        default: return nil
        }
      }
      return nil
    }

    private func broken(_ function: String) -> GristError {
      reader.failure("a tensor that is not written as torch writes one", found: function)
    }

    private func tensor(_ name: String, function: String, _ arguments: [Value]) throws -> Tensor {
      guard function.hasPrefix("torch._utils._rebuild_tensor"), arguments.count >= 4,
        case .persistent(let place) = arguments[0], case .tuple(let identity) = reader.persistent[place],
        let offset = integer(arguments[1]), offset >= 0, let shape = extents(arguments[2]),
        let strides = extents(arguments[3]), strides.count == shape.count
      else { throw broken(function) }
      let parts = reader.tuples[identity]
      guard parts.count >= 5, case .text("storage") = parts[0], case .global(let kind) = parts[1],
        case .text(let key) = parts[2], let count = integer(parts[4]), count >= 0
      else { throw broken(function) }
      var type = TorchDictionary.storages[kind]
      if type == nil, arguments.count >= 7, case .global(let named) = arguments[6] {
        type = TorchDictionary.types[named]
      }
      guard let type else { throw reader.failure("values of a kind that is not supported", found: kind) }
      // What the third way writes counts in bytes.
      let elements = TorchDictionary.storages[kind] == nil ? count / max(type.bitCount / 8, 1) : count
      return Tensor(
        name: name, elementType: type, storage: key, storageCount: elements, offset: offset, shape: shape,
        strides: strides)
    }
  }
}
