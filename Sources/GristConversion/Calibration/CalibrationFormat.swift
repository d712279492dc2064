import GristCore
import GristModel
import GristSources
import GristTemplates

/// How samples are written down: as the model's conversations are, and where that cannot be, as plain text.
package struct CalibrationFormat: Sendable {
  let format: ConversationFormat
  /// Why it is plain text; nil where it is not.
  package let note: String?

  /// What templates are told that write the day down: always the same, so that a calibration comes out the same on any
  /// day.
  static let clock = ChatProgram.Clock(year: 2024, month: 7, day: 26)

  package init(_ configuration: ModelConfiguration) {
    do {
      _ = try Conversation(message: "?", hasImage: configuration.vision != nil, clock: Self.clock)
        .rendering(configuration.format)
      (format, note) = (configuration.format, nil)
    } catch {
      let reason = (error as? GristError)?.description ?? "\(error)"
      (format, note) = (.raw, "samples are given as plain text, because the model's chat template fails: \(reason)")
    }
  }
}
