import GristCore

extension VerificationReport {
  /// The report as one page that needs nothing else.
  public func html(parts: [PartEffect]) -> String { "" }
}
