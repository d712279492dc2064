/// What streaming weights took so far.
public struct StreamingStatistics: Sendable, Equatable {
  /// Bytes of the file that were read.
  public internal(set) var bytesRead = 0
  /// Seconds from the first tensor that was wanted to the last that was had.
  public internal(set) var seconds = 0.0
  /// Seconds that computing waited for reading.
  public internal(set) var waitSeconds = 0.0
  /// Seconds in which something was being read.
  public internal(set) var readingSeconds = 0.0

  /// Bytes a second that were read.
  public var bytesPerSecond: Double { seconds > 0 ? Double(bytesRead) / seconds : 0 }
  /// Bytes a second while something was being read: what the disk gives beside the computing.
  public var bytesPerReadingSecond: Double { readingSeconds > 0 ? Double(bytesRead) / readingSeconds : 0 }

  init() {}
}
