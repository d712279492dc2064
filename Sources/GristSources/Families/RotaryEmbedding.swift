import GristCore
internal import RealModule

/// The angles of rotary position embedding: a base, and how the frequencies are scaled for contexts longer than the
/// training's. Read and computed as transformers' `modeling_rope_utils` does, which both spellings of a configuration
/// go through: `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters` (transformers 5).
public struct RotaryEmbedding: Sendable, Equatable {
  public enum Scaling: Sendable, Equatable {
    case none
    /// Every frequency divided by the factor.
    case linear(factor: Float)
    /// LLaMA 3.1: wavelengths beyond `originalLength / lowFactor` as with `linear`, those below
    /// `originalLength / highFactor` as they are, and in between a smooth way from one to the other.
    case llama3(factor: Float, lowFactor: Float, highFactor: Float, originalLength: Float)
  }

  public let base: Float
  public let scaling: Scaling

  public static let defaultBase = 10_000.0

  public init(base: Float, scaling: Scaling = .none) {
    self.base = base
    self.scaling = scaling
  }

  /// Reads either spelling.
  ///
  /// - Throws: 65 naming the field that makes no sense, contradicts the other spelling, or asks for a scaling this
  ///   version does not compute (dynamic, yarn, longrope, …).
  public init(_ json: JSONReader) throws {
    let names = ["rope_parameters", "rope_scaling"].filter { json.has($0) }
    if names.count == 2, json.value(names[0]) != json.value(names[1]) {
      throw json.failure("rope_scaling", "absent where \"rope_parameters\" says something else")
    }
    let outer = json.has("rope_theta") ? try json.double("rope_theta") : nil
    guard let name = names.first else {
      base = try Self.positive(outer ?? Self.defaultBase) ?? { throw json.failure("rope_theta", "a positive number") }()
      scaling = .none
      return
    }
    let parameters = try json.object(name)
    try parameters.allow(only: Self.known)
    let inner = parameters.has("rope_theta") ? try parameters.double("rope_theta") : nil
    if let inner, let outer, inner != outer {
      throw json.failure("rope_theta", "the same as \"\(name).rope_theta\", \(inner)")
    }
    guard let base = Self.positive(inner ?? outer ?? Self.defaultBase) else {
      throw inner == nil
        ? json.failure("rope_theta", "a positive number") : parameters.failure("rope_theta", "a positive number")
    }
    self.base = base
    scaling = try Self.scaling(parameters, json)
  }

  private static let known: Set<String> = [
    "rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
    "original_max_position_embeddings", "partial_rotary_factor",
  ]

  private static func scaling(_ parameters: JSONReader, _ json: JSONReader) throws -> Scaling {
    let key = parameters.has("rope_type") ? "rope_type" : "type"
    guard try parameters.double("partial_rotary_factor", default: 1) == 1 else {
      throw parameters.failure("partial_rotary_factor", "1: this version rotates whole heads")
    }
    func number(_ name: String) throws -> Float {
      guard let value = positive(try parameters.double(name)) else {
        throw parameters.failure(name, "a positive number")
      }
      return value
    }
    switch try parameters.string(key, default: "default") {
    case "default": return .none
    case "linear": return .linear(factor: try number("factor"))
    case "llama3":
      let length = "original_max_position_embeddings"
      let (low, high) = (try number("low_freq_factor"), try number("high_freq_factor"))
      guard low < high else { throw parameters.failure("high_freq_factor", "above low_freq_factor, \(low)") }
      return .llama3(
        factor: try number("factor"), lowFactor: low, highFactor: high,
        originalLength: parameters.has(length)
          ? try number(length) : Float(try json.integer("max_position_embeddings", in: 1...16_777_216)))
    default: throw parameters.failure(key, "default, linear or llama3")
    }
  }

  private static func positive(_ value: Double) -> Float? {
    let float = Float(value)
    return float.isFinite && float > 0 ? float : nil
  }

  /// The angle that each pair of a head's `dimension` values turns from one position to the next: `dimension / 2`
  /// values, computed in f32 step by step as the reference does.
  public func inverseFrequencies(dimension: Int) -> [Float] {
    (0..<dimension / 2).map { index in
      let frequency = 1 / .pow(base, Float(2 * index) / Float(dimension))
      switch scaling {
      case .none: return frequency
      case .linear(let factor): return frequency / factor
      case .llama3(let factor, let lowFactor, let highFactor, let originalLength):
        let wavelength = Float(2 * Double.pi) / frequency
        if wavelength < originalLength / highFactor { return frequency }
        if wavelength > originalLength / lowFactor { return frequency / factor }
        let smooth = (originalLength / wavelength - lowFactor) / (highFactor - lowFactor)
        return (1 - smooth) * frequency / factor + smooth * frequency
      }
    }
  }
}
