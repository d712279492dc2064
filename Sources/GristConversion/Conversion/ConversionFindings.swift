import GristCore

/// What a conversion came upon that whoever asked for it should know.
struct ConversionFindings {
  /// A row whose error is this large has lost what it said.
  static let drowned = 0.5
  /// Names that are told; of more, how many there are.
  private static let mostTold = 5

  var feedback = FeedbackFindings()
  private var rows: [(name: String, error: Double)] = []
  private var notFinite: [String] = []

  mutating func addDrowned(_ name: String, _ error: Double) { rows.append((name, error)) }

  mutating func addNotFinite(_ name: String) { notFinite.append(name) }

  var notes: [String] {
    var notes = feedback.notes
    if let first = notFinite.first {
      let others = notFinite.count > 1 ? " and \(notFinite.count - 1) more hold" : " holds"
      notes.append(
        "\(first)\(others) values that are not finite numbers; they are kept as they came, and will spoil answers")
    }
    notes += rows.prefix(Self.mostTold).map { name, error in
      "\(name): a row lost \(NumberText.percent(min(error, 1))) of itself, as some of the tensor's values are far greater than "
        + "the rest; --set '\(name)=source' keeps it as it came"
    }
    if rows.count > Self.mostTold {
      notes.append("\(rows.count - Self.mostTold) more tensors have rows that lost half of themselves or more")
    }
    return notes
  }
}
