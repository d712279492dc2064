import GristSources

/// The checkpoint at a path, under canonical names.
public func canonicalCheckpoint(_ path: String, _ options: SourceOptions = SourceOptions()) throws -> Checkpoint {
  guard let checkpoint = try Source.open(path: path, options: options).checkpoint else { throw NoCheckpoint() }
  return checkpoint
}

private struct NoCheckpoint: Error {}
