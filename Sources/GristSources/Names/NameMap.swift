import GristCore

/// How a source's tensor names and layouts become the canonical ones: data, in the files of `Formats/maps`.
///
/// A line is a rule, a comment (`#`), or says what the map is (`map NAME`, `about TEXT`):
///
///     language_model.model.{rest...}    ->  model.{rest...}
///     decoder{_i}.query.kernel          ->  model.layers.{i}.self_attn.q_proj.weight  : reshape 0,1*2 | transpose
///     {rest...}.rotary_emb.inv_freq     ->  unused: computed from the configuration
///     optimizer/{rest...}               ->  left out: only training needs it
///
/// What is `unused` is kept under its own name, so that a file can give back all that went into it; what is `left out` is
/// not. The first rule that matches a name decides, but for rules with `split`: they may give one tensor several names.
/// Rules with `join K/N` give part K of a tensor; its parts lie behind each other along axis 0.
public struct NameMap: Sendable {
  public let name: String
  public let about: String
  let rules: [Rule]

  struct Rule: Sendable {
    let pattern: NamePattern
    let target: Target
  }

  enum Target: Sendable {
    case tensor(NamePattern, steps: [LayoutStep], part: Part?)
    case leftOut(Omission)
    case unused(reason: String)
  }

  /// Why a tensor is left out.
  struct Omission: Sendable {
    let reason: String
    /// Whether it may be only where its values are 0, 1, 2 and so on: positions, which a model could have otherwise.
    let mustCount: Bool
  }

  /// Part `index` of `count`, counted from 0.
  struct Part: Sendable, Equatable {
    let index: Int
    let count: Int
  }

  /// A canonical tensor that a source tensor gives, or gives a part of.
  struct Outcome: Sendable {
    let name: String
    let steps: [LayoutStep]
    let part: Part?
  }

  enum Decision: Sendable {
    case becomes([Outcome])
    case leftOut(Omission)
    case unused(reason: String)
    case unknown
  }

  /// What becomes of a name.
  func decide(_ name: String) -> Decision {
    var outcomes: [Outcome] = []
    for rule in rules {
      guard let places = rule.pattern.match(name) else { continue }
      switch rule.target {
      case .leftOut(let omission):
        if outcomes.isEmpty { return .leftOut(omission) }
      case .unused(let reason):
        if outcomes.isEmpty { return .unused(reason: reason) }
      case .tensor(let target, let steps, let part):
        guard let canonical = target.name(places) else { continue }
        let outcome = Outcome(name: canonical, steps: steps, part: part)
        let splits = steps.contains { if case .split = $0 { true } else { false } }
        if !splits { return outcomes.isEmpty ? .becomes([outcome]) : .becomes(outcomes) }
        outcomes.append(outcome)
      }
    }
    return outcomes.isEmpty ? .unknown : .becomes(outcomes)
  }

  // MARK: - Reading

  /// Reads a map's text; `file` is for messages.
  ///
  /// - Throws: 65 with the line that makes no sense.
  public init(_ text: String, file: String) throws {
    var name = ""
    var about = ""
    var rules: [Rule] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = line.trimming { $0 == " " || $0 == "\t" || $0 == "\r" }
      if line.isEmpty || line.hasPrefix("#") { continue }
      if let value = line.value(after: "map ") {
        name = value
      } else if let value = line.value(after: "about ") {
        about = value
      } else {
        do {
          rules.append(try Rule(line))
        } catch var error as GristError {
          error.file = file
          error.what = "line \(index + 1) of the name map: \(error.what)"
          throw error
        }
      }
    }
    guard !name.isEmpty, !rules.isEmpty else {
      throw GristError(
        .badData, name.isEmpty ? "the name map does not say its name" : "the name map has no rule", file: file,
        advice: "a map begins with \"map NAME\" and has a rule on each line: PATTERN -> NAME")
    }
    self.name = name
    self.about = about
    self.rules = rules
  }

  /// Reads a map's file.
  ///
  /// - Throws: 66 when it is not there, 65 when it makes no sense.
  public init(path: String) throws {
    guard let text = try readFile(path, limit: 1 << 20).utf8 else {
      throw GristError(.badData, "a name map must be UTF-8", file: path)
    }
    try self.init(text, file: path)
  }
}

extension NameMap.Rule {
  fileprivate init(_ line: Substring) throws {
    guard let arrow = line.firstRange(of: "->") else { throw GristError(.badData, "no \"->\"", found: String(line)) }
    let source = String(line[..<arrow.lowerBound].trimming { $0 == " " })
    guard let pattern = NamePattern(source) else { throw GristError(.badData, "no pattern of a name", found: source) }
    self.pattern = pattern
    let right = line[arrow.upperBound...].trimming { $0 == " " }
    if let reason = right.value(after: "unused:") {
      target = .unused(reason: reason)
      return
    }
    for (start, mustCount) in [("left out:", false), ("left out if it counts from 0:", true)] {
      if let reason = right.value(after: start) {
        target = .leftOut(NameMap.Omission(reason: reason, mustCount: mustCount))
        return
      }
    }
    // Steps follow a colon with a space before it; Keras's names may hold one without.
    let colon = right.firstRange(of: " : ")
    let name = String(right[..<(colon?.lowerBound ?? right.endIndex)].trimming { $0 == " " })
    guard let canonical = NamePattern(name), canonical.places.isSubset(of: pattern.places) else {
      throw GristError(.badData, "no name that the pattern's places can fill", found: name)
    }
    var steps: [LayoutStep] = []
    var part: NameMap.Part?
    for text in colon.map({ right[$0.upperBound...].split(separator: "|") }) ?? [] {
      let step = text.trimming { $0 == " " }
      if let value = step.value(after: "join ") {
        guard part == nil, let fraction = LayoutStep.fraction(value) else { throw unknown(step) }
        part = NameMap.Part(index: fraction.index, count: fraction.count)
      } else {
        guard let known = LayoutStep(step) else { throw unknown(step) }
        steps.append(known)
      }
    }
    target = .tensor(canonical, steps: steps, part: part)

    func unknown(_ step: Substring) -> GristError {
      GristError(
        .badData, "an unknown step", found: String(step),
        advice: "steps are: transpose [1,0]; reshape 0*1,2; split 1/3; join 1/3")
    }
  }
}

extension Substring {
  func trimming(_ isBlank: (Character) -> Bool) -> Substring {
    var text = drop(while: isBlank)
    while let last = text.last, isBlank(last) { text.removeLast() }
    return text
  }

  /// What follows a prefix, without blanks around it; nil without the prefix, or when nothing follows.
  func value(after prefix: String) -> String? {
    guard hasPrefix(prefix) else { return nil }
    let value = dropFirst(prefix.count).trimming { $0 == " " }
    return value.isEmpty ? nil : String(value)
  }
}
