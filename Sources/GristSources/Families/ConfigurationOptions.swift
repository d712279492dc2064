import GristFormat

/// What whoever reads a checkpoint says about its configuration, where that does not speak for itself. A converted file
/// keeps it.
public struct ConfigurationOptions: Sendable, Equatable {
  /// Configuration keys that would be refused, which the user knows to change nothing.
  public var ignoredKeys: Set<String>
  /// How conversations are written down: the name of a ``PromptTemplate``, ``ConversationFormat/rawName``, or the text
  /// of a chat template; nil for what the checkpoint says.
  public var template: String?
  /// Whether AVG-LLaVA's grids are cropped by their cells' own shape instead of as upstream does it; nil where nobody said.
  public var correctsUnpadding: Bool?
  /// Whether pictures are turned as their EXIF data say; nil for what the family's own loader does. A file does not
  /// keep it.
  public var turnsPictures: Bool?

  public init(
    ignoredKeys: Set<String> = [], template: String? = nil, correctsUnpadding: Bool? = nil, turnsPictures: Bool? = nil
  ) {
    self.correctsUnpadding = correctsUnpadding
    self.ignoredKeys = ignoredKeys
    self.template = template
    self.turnsPictures = turnsPictures
  }

  /// These where they say something, else earlier ones; ignored keys of both.
  public func adding(to earlier: ConfigurationOptions) -> ConfigurationOptions {
    ConfigurationOptions(
      ignoredKeys: earlier.ignoredKeys.union(ignoredKeys), template: template ?? earlier.template,
      correctsUnpadding: correctsUnpadding ?? earlier.correctsUnpadding,
      turnsPictures: turnsPictures ?? earlier.turnsPictures)
  }

  /// Those that a converted file keeps.
  public init(_ provenance: Provenance) {
    self.init(
      ignoredKeys: Set(provenance.ignoredKeys), template: provenance.promptTemplate,
      correctsUnpadding: provenance.correctsUnpadding ? true : nil)
  }
}
