import GristServer
import GristmillKit
import Synchronization

/// Carries the outcome of a verification to a server that may not be there yet.
final class VerifiedBox: Sendable {
  private let state = Mutex<(outcome: Verified.Outcome, server: Server?)>((Verified.Outcome(.no), nil))

  var server: Server? {
    get { state.withLock { $0.server } }
    set {
      state.withLock { state in
        state.server = newValue
        newValue?.verification = state.outcome
      }
    }
  }

  private func tell(_ verified: Verified, page: String? = nil) {
    let outcome = Verified.Outcome(verified, page: page)
    state.withLock { state in
      state.outcome = outcome
      state.server?.verification = outcome
    }
  }

  /// Holds a model to the record inside its file.
  ///
  /// - Throws: 64 when there is none, and what verifying throws.
  func verify(_ source: Source, _ compute: Compute) throws {
    tell(.running)
    do {
      let reference = try Reference.open(nil, model: source, asksQuestions: false)
      guard case .record(let record) = reference else { return tell(.no) }
      let report = try Verification(source, against: reference, compute: compute).run()
      tell(
        report.passed
          ? .yes(date: report.date, record: record.source)
          : .failed(
            date: report.date, record: record.source, reason: report.objections.first ?? "the outputs differ"),
        page: report.html)
    } catch {
      tell(.failed(date: "", record: "", reason: (error as? GristError)?.what ?? "the verification failed"))
      throw error
    }
  }
}
