internal import Synchronization

/// The files that a program has read, so that none of its outputs replaces one of them.
///
/// A program's affair, not a library's: nothing is remembered unless the program asks for it.
package enum InputFiles {
  private static let places = Mutex<Set<[UInt]>?>(nil)

  /// From now on every file that is opened for reading is remembered, by device and inode. An ``AtomicFile`` then
  /// refuses to replace it.
  package static func remember() { places.withLock { $0 = $0 ?? [] } }

  static func note(_ file: FileIdentity) { places.withLock { _ = $0?.insert(file.place) } }

  static func contains(_ file: FileIdentity) -> Bool { places.withLock { $0?.contains(file.place) ?? false } }
}
