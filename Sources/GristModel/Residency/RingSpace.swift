/// Places in a ring of memory: given out one behind the other, taken back in whatever order, and free again once
/// everything before them is.
///
/// A place does not go across the ring's end.
package struct RingSpace {
  private struct Place {
    let number: Int
    let start: Int
    let size: Int
    var isReleased = false
  }

  package let capacity: Int
  private var places: [Place] = []
  private var end = 0

  package init(capacity: Int) { self.capacity = capacity }

  package var isEmpty: Bool { places.isEmpty }

  /// Where `size` bytes may go that are known as `number`; nil while there is no room.
  package mutating func reserve(_ size: Int, number: Int) -> Int? {
    guard let start = start(for: size) else { return nil }
    places.append(Place(number: number, start: start, size: size))
    end = start + size
    return start
  }

  private func start(for size: Int) -> Int? {
    guard let oldest = places.first else { return size <= capacity ? 0 : nil }
    if end > oldest.start {
      if capacity - end >= size { return end }
      return oldest.start >= size ? 0 : nil
    }
    return oldest.start - end >= size ? end : nil
  }

  package mutating func release(number: Int) {
    guard let index = places.firstIndex(where: { $0.number == number }) else { return }
    places[index].isReleased = true
    places.removeFirst(places.prefix { $0.isReleased }.count)
  }

  /// Forgets the places from `number` on, which nobody uses yet.
  package mutating func forget(from number: Int) {
    places.removeAll { $0.number >= number }
    end = places.last.map { $0.start + $0.size } ?? 0
  }
}
