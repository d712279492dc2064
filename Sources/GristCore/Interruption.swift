import CGristSystem

/// Lets the user's Ctrl-C end long work cleanly.
public enum Interruption {
  /// From now on the first SIGINT or SIGTERM is only noted; a second one ends the program at once.
  public static func watch() { grist_system_watch_interrupts() }

  /// Throws 130 when the user asked to stop. Call it between pieces of work.
  public static func check() throws {
    if grist_system_interrupted() != 0 { throw GristError(.interrupted, "interrupted") }
  }
}

/// Peak resident memory of this process in bytes, 0 where the system does not tell.
public func peakResidentBytes() -> Int { grist_system_peak_resident_bytes() }
