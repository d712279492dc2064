import GristServer
import GristmillKit
import Synchronization

/// Carries the outcome of a verification to a server that may not be there yet.
final class VerifiedBox: Sendable {
  private let state = Mutex<(verified: Verified, server: Server?)>((.no, nil))

  var server: Server? {
    get { state.withLock { $0.server } }
    set {
      state.withLock { state in
        state.server = newValue
        newValue?.verified = state.verified
      }
    }
  }

  private func tell(_ verified: Verified) {
    state.withLock { state in
      state.verified = verified
      state.server?.verified = verified
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
            date: report.date, record: record.source, reason: report.objections.first ?? "the outputs differ"))
    } catch {
      tell(.failed(date: "", record: "", reason: (error as? GristError)?.what ?? "the verification failed"))
      throw error
    }
  }
}
