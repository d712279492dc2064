internal import CGristSystem

/// Ends the program with a sentence and exit code 71, as there is no memory.
public func refuseMemory(_ byteCount: Int) -> Never { grist_system_refuse_memory(max(byteCount, 0)) }

/// Gives memory that was freed, and that the allocator keeps for later, back to the system, where it is more than `kept`
/// bytes: between pieces of work whose many buffers of a megabyte leave holes that nothing fills.
package func returnFreedMemory(keeping kept: Int) { grist_system_return_memory(max(kept, 0)) }

/// From now on, pieces of `byteCount` bytes or more go back to the system as soon as they are freed.
package func returnLargePieces(from byteCount: Int) { grist_system_return_large_pieces(max(byteCount, 0)) }

/// Peak resident memory of this process in bytes, 0 where the system does not tell.
public func peakResidentBytes() -> Int { grist_system_peak_resident_bytes() }
