import GristCore

/// Where something stands in a template: lines and columns count from 1.
struct TemplatePlace: Sendable, Equatable {
  var line: Int
  var column: Int
}

/// Why a template is not rendered.
struct TemplateError: Error {
  var what: String
  var place: TemplatePlace?
  /// Whether the template said so itself, with `raise_exception`.
  var isRaised = false

  init(_ what: String, _ place: TemplatePlace? = nil, isRaised: Bool = false) {
    (self.what, self.place, self.isRaised) = (what, place, isRaised)
  }
}
