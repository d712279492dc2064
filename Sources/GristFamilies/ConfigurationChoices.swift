/// What whoever reads a checkpoint says about its configuration, where that does not speak for itself. A converted file
/// keeps it.
public struct ConfigurationChoices: Sendable, Equatable {
  /// Configuration keys that would be refused, which the user knows to change nothing.
  public var ignoredKeys: Set<String>
  /// How conversations are written down: the name of a ``PromptTemplate``, ``ConversationFormat/rawName``, or the text of a
  /// chat template; nil for what the checkpoint says.
  public var template: String?

  public init(ignoredKeys: Set<String> = [], template: String? = nil) {
    self.ignoredKeys = ignoredKeys
    self.template = template
  }

  /// These choices where they say something, else earlier ones; ignored keys of both.
  public func adding(to earlier: ConfigurationChoices) -> ConfigurationChoices {
    ConfigurationChoices(
      ignoredKeys: earlier.ignoredKeys.union(ignoredKeys), template: template ?? earlier.template)
  }
}
