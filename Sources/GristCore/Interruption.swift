internal import CGristSystem

/// Lets the user's Ctrl-C end long work cleanly, and a file that is lost under a reader end it with a sentence.
///
/// Signals are the process's, not a library's: nothing is handled unless the program asks for it.
public enum Interruption {
  /// From now on the first SIGINT, SIGTERM or SIGHUP is only noted; a second one ends the program at once, and so does
  /// a second after SIGTERM. A `MappedFile` that somebody shrinks while it is read ends it with a sentence and exit
  /// code 74 instead of a bare SIGBUS.
  public static func watch() {
    grist_system_watch_interrupts()
    grist_system_watch_faults()
  }

  /// - Throws: 130 when the user asked to stop, in a program that watches for it. Call it between pieces of work.
  public static func check() throws {
    if grist_system_interrupted() != 0 { throw GristError(.interrupted, "interrupted") }
  }
}
