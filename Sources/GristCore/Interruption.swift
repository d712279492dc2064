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

/// Ends the program with a sentence and exit code 71, as there is no memory.
public func refuseMemory(_ byteCount: Int) -> Never { grist_system_refuse_memory(max(byteCount, 0)) }

/// Gives memory that was freed, and that the allocator keeps for later, back to the system, where it is more than `kept`
/// bytes: between pieces of work whose many buffers of a megabyte leave holes that nothing fills.
package func returnFreedMemory(keeping kept: Int) { grist_system_return_memory(max(kept, 0)) }

/// Peak resident memory of this process in bytes, 0 where the system does not tell.
public func peakResidentBytes() -> Int { grist_system_peak_resident_bytes() }
