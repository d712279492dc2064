import GristCore

/// What a name map does to a tensor's values on the way to the canonical layout, after it renamed it.
package enum LayoutStep: Sendable, Equatable {
  /// Axis `i` of the result is axis `order[i]` of what came; nil reverses all axes.
  case transpose([Int]?)
  /// The same values in the same order under another shape: each extent is a product of extents that came, in their
  /// order, or 1 where the list is empty. Axes of extent 1 may be left out.
  case reshape([[Int]])
  /// The `index`-th of `count` equal parts along axis 0.
  case split(index: Int, count: Int)

  /// The shape that the step makes of one.
  ///
  /// - Throws: 65 when it does not fit.
  func shape(of shape: [Int]) throws -> [Int] {
    switch self {
    case .transpose(let order):
      let order = order ?? Array(shape.indices.reversed())
      guard order.sorted() == Array(shape.indices) else { throw misfit(shape) }
      return order.map { shape[$0] }
    case .reshape(let groups):
      let used = groups.flatMap { $0 }
      guard used == used.sorted(), Set(used).count == used.count, used.allSatisfy(shape.indices.contains),
        shape.indices.allSatisfy({ used.contains($0) || shape[$0] == 1 })
      else { throw misfit(shape) }
      // Products of extents of a shape that fits fit too.
      return groups.map { $0.reduce(1) { $0 * shape[$1] } }
    case .split(let index, let count):
      guard let rows = shape.first, count > 0, rows % count == 0, (0..<count).contains(index) else {
        throw misfit(shape)
      }
      return [rows / count] + shape.dropFirst()
    }
  }

  /// As a map spells it; nil for what is none.
  init?(_ text: Substring) {
    if text == "transpose" {
      self = .transpose(nil)
    } else if let value = text.value(after: "transpose ") {
      let order = value.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      let axes = order.compactMap { $0 }
      guard axes.count == order.count, axes.sorted() == Array(axes.indices) else { return nil }
      self = .transpose(axes)
    } else if let value = text.value(after: "reshape ") {
      var groups: [[Int]] = []
      for group in value.split(separator: ",", omittingEmptySubsequences: false) {
        if group == "=1" {
          groups.append([])
          continue
        }
        let axes = group.split(separator: "*", omittingEmptySubsequences: false).map { Int($0) }
        guard !axes.contains(nil) else { return nil }
        groups.append(axes.compactMap { $0 })
      }
      self = .reshape(groups)
    } else if let value = text.value(after: "split "), let part = Self.fraction(value) {
      self = .split(index: part.index, count: part.count)
    } else {
      return nil
    }
  }

  /// "2/3" as (1, 3).
  static func fraction(_ text: String) -> (index: Int, count: Int)? {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let index = numbers[0], let count = numbers[1], count >= 1, count <= 4096,
      (1...count).contains(index)
    else { return nil }
    return (index - 1, count)
  }

  private func misfit(_ shape: [Int]) -> GristError {
    GristError(.badData, "the name map's step \"\(text)\" does not fit the shape", found: "\(shape)")
  }

  /// As a map spells it.
  package var text: String {
    switch self {
    case .transpose(nil): "transpose"
    case .transpose(let order?): "transpose " + order.map(String.init).joined(separator: ",")
    case .reshape(let groups):
      "reshape "
        + groups.map { $0.isEmpty ? "=1" : $0.map(String.init).joined(separator: "*") }.joined(separator: ",")
    case .split(let index, let count): "split \(index + 1)/\(count)"
    }
  }

  /// The step that undoes this one; nil for those that need more than their result (a reshape needs the shape that
  /// came, a split the other parts).
  package var inverse: LayoutStep? {
    guard case .transpose(let order) = self else { return nil }
    guard let order else { return self }
    return .transpose(order.indices.sorted { order[$0] < order[$1] })
  }
}

/// `bytes` of a tensor of this shape with its axes in another order: axis `i` of the result is axis `order[i]` of the
/// source. `width` is an element's bytes; `order` must be a permutation of the axes.
func permuted(_ bytes: Bytes, shape: [Int], order: [Int], width: Int) -> Bytes {
  precondition(order.sorted() == Array(shape.indices))
  let count = shape.reduce(1, *)
  precondition(bytes.count == count * width)
  guard let last = order.last, count > 0 else { return bytes }
  var sourceStrides = [Int](repeating: 1, count: shape.count)
  for axis in shape.indices.dropLast().reversed() { sourceStrides[axis] = sourceStrides[axis + 1] * shape[axis + 1] }
  let extents = order.map { shape[$0] }
  let strides = order.map { sourceStrides[$0] }
  var outStrides = [Int](repeating: 1, count: extents.count)
  for axis in extents.indices.dropLast().reversed() { outStrides[axis] = outStrides[axis + 1] * extents[axis + 1] }
  // The two axes that matter for speed: the one whose neighbours lie together in the source, and the one whose do so in
  // the result.
  let inner = order.count - 1
  let fast = last == shape.count - 1 ? nil : order.firstIndex(of: shape.count - 1)
  let outer = extents.indices.filter { $0 != inner && $0 != fast }
  let buffer = AlignedBuffer(byteCount: bytes.count)
  buffer.withUnsafeMutableBytes { target in
    bytes.withUnsafeBytes { source in
      guard let to = target.baseAddress, let from = source.baseAddress else { return }
      var index = [Int](repeating: 0, count: outer.count)
      repeat {
        let fromStart = zip(index, outer).reduce(0) { $0 + $1.0 * strides[$1.1] }
        let toStart = zip(index, outer).reduce(0) { $0 + $1.0 * outStrides[$1.1] }
        if let fast {
          transposeTiles(
            from + fromStart * width, to + toStart * width, rows: extents[fast], columns: extents[inner],
            fromColumnStride: strides[inner], toRowStride: outStrides[fast], width: width)
        } else {
          (to + toStart * width).copyMemory(from: from + fromStart * width, byteCount: extents[inner] * width)
        }
      } while advance(&index, outer.map { extents[$0] })
    }
  }
  return buffer.bytes
}

/// to[row, column] = from[column, row], in tiles that stay in the cache. Rows of `to` are `toRowStride` elements apart,
/// columns of `from` `fromColumnStride`.
private func transposeTiles(
  _ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, rows: Int, columns: Int, fromColumnStride: Int,
  toRowStride: Int, width: Int
) {
  func move<Element: BitwiseCopyable>(_: Element.Type) {
    let tile = 32
    for rowStart in stride(from: 0, to: rows, by: tile) {
      for columnStart in stride(from: 0, to: columns, by: tile) {
        for row in rowStart..<min(rowStart + tile, rows) {
          for column in columnStart..<min(columnStart + tile, columns) {
            let value = from.loadUnaligned(
              fromByteOffset: (column * fromColumnStride + row) * width, as: Element.self)
            to.storeBytes(of: value, toByteOffset: (row * toRowStride + column) * width, as: Element.self)
          }
        }
      }
    }
  }
  switch width {
  case 1: move(UInt8.self)
  case 2: move(UInt16.self)
  case 4: move(UInt32.self)
  default: move(UInt64.self)
  }
}

/// The next index in row-major order; false after the last.
private func advance(_ index: inout [Int], _ extents: [Int]) -> Bool {
  for axis in index.indices.reversed() {
    index[axis] += 1
    if index[axis] < extents[axis] { return true }
    index[axis] = 0
  }
  return false
}
