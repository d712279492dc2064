internal import Synchronization

/// A value made when it is first needed, once, whoever asks; or each time, where it is not to be kept.
final class Lazy<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let isKept: Bool
  private let make: @Sendable () throws -> Value

  init(isKept: Bool = true, _ make: @escaping @Sendable () throws -> Value) {
    self.isKept = isKept
    self.make = make
  }

  /// - Throws: What making it throws; the next call tries again.
  func get() throws -> Value {
    if !isKept { return try make() }
    return try value.withLock { value in
      if let value { return value }
      let made = try make()
      value = made
      return made
    }
  }
}
