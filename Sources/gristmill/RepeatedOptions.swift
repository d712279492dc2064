import ArgumentParser
import GristCore

/// Options that are given twice though they count once: the parser would take the last and say nothing.
enum RepeatedOptions {
  /// Those that may be repeated.
  private static let repeatable: Set<String> = [
    "--image", "--set", "--ignore-key", "--authority", "--trust", "--ignore-path",
  ]
  /// Those whose value may begin with a dash, and so look like an option.
  private static let takesAnything: Set<String> = ["--temperature", "--top-p", "--tie-margin", "--max-kl"]
  private static let longNames = ["-o": "--output"]

  /// - Throws: 64 naming the first option that is given twice.
  static func refuse(in arguments: some Sequence<String>) throws {
    var seen: Set<String> = []
    var isValue = false
    for argument in arguments {
      if argument == "--" { return }
      defer { isValue = takesAnything.contains(argument) }
      guard !isValue, argument.hasPrefix("-") else { continue }
      let given = String(argument.prefix { $0 != "=" })
      let name = longNames[given] ?? given
      guard name.hasPrefix("--"), !repeatable.contains(name), !seen.insert(name).inserted else { continue }
      throw GristError(.usage, "\(name) is given twice, but counts once", advice: "give it once")
    }
  }
}
