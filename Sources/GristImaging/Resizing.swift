import GristCore

extension RGBImage {
  /// The image scaled to other extents, bicubic (a = −0.5) and antialiased: bit for bit what Pillow 12.2's
  /// `Image.resize((width, height), Image.BICUBIC)` gives.
  ///
  /// Two passes with an 8-bit image in between, along rows and then along columns; the other way round where a column
  /// of more than a hundred times the width gets shorter. An axis whose extent stays is left alone.
  ///
  /// - Throws: 65 when an extent is not positive or when the result, or the image in between, would have more than
  ///   ``maximumPixelCount`` pixels.
  public func resized(toWidth newWidth: Int, height newHeight: Int) throws -> RGBImage {
    _ = try Self.checkedPixelCount(width: newWidth, height: newHeight)
    if newHeight == height { return resizedRows(0..<height, toWidth: newWidth) }
    if newWidth == width { return resizedColumns(ResamplingWeights(from: height, to: newHeight), firstRow: 0) }

    let vertical = ResamplingWeights(from: height, to: newHeight)
    if height > width * 100 && newHeight < height {
      return resizedColumns(vertical, firstRow: 0).resizedRows(0..<newHeight, toWidth: newWidth)
    }
    let neededRows = vertical.inputRange
    _ = try Self.checkedPixelCount(width: newWidth, height: neededRows.count)
    return resizedRows(neededRows, toWidth: newWidth).resizedColumns(vertical, firstRow: neededRows.lowerBound)
  }

  /// The given rows, scaled to another width.
  private func resizedRows(_ rows: Range<Int>, toWidth newWidth: Int) -> RGBImage {
    if newWidth == width && rows == 0..<height { return self }
    let weights = ResamplingWeights(from: width, to: newWidth)
    let rowBytes = width * 3
    let newRowBytes = newWidth * 3
    let newPixels = [UInt8](unsafeUninitializedCapacity: rows.count * newRowBytes) { output, initializedCount in
      pixels.withUnsafeBufferPointer { input in
        for (index, row) in rows.enumerated() {
          resampleRow(
            input.extracting(row * rowBytes..<(row + 1) * rowBytes),
            into: output.extracting(index * newRowBytes..<(index + 1) * newRowBytes), weights)
        }
      }
      initializedCount = rows.count * newRowBytes
    }
    return RGBImage(uncheckedWidth: newWidth, height: rows.count, pixels: newPixels)
  }

  /// All columns, scaled with weights whose input row `firstRow` is this image's row 0. They go together: every output
  /// row is a weighted sum of whole input rows.
  private func resizedColumns(_ windows: ResamplingWeights, firstRow: Int) -> RGBImage {
    let rowBytes = width * 3
    let newHeight = windows.starts.count
    var sums = [Int32](repeating: 0, count: rowBytes)
    let newPixels = [UInt8](unsafeUninitializedCapacity: newHeight * rowBytes) { output, initializedCount in
      pixels.withUnsafeBufferPointer { input in
        sums.withUnsafeMutableBufferPointer { sums in
          for row in 0..<newHeight {
            sums.update(repeating: half)
            for tap in 0..<windows.counts[row] {
              let inputRow = windows.starts[row] - firstRow + tap
              accumulate(
                input.extracting(inputRow * rowBytes..<(inputRow + 1) * rowBytes),
                weight: windows.weights[row * windows.stride + tap], into: sums)
            }
            store(sums, into: output.extracting(row * rowBytes..<(row + 1) * rowBytes))
          }
        }
      }
      initializedCount = newHeight * rowBytes
    }
    return RGBImage(uncheckedWidth: width, height: newHeight, pixels: newPixels)
  }
}

private let half: Int32 = 1 << (ResamplingWeights.fractionBits - 1)

/// The byte nearest to a fixed-point sum that has already been offset by a half.
@inline(__always)
private func clampedByte(_ sum: Int32) -> UInt8 {
  UInt8(truncatingIfNeeded: min(max(sum >> Int32(ResamplingWeights.fractionBits), 0), 255))
}

/// Scales one row of RGB pixels. The loops go through raw pointers: this is where a large photo spends its time, and
/// the windows lie inside the row by construction.
private func resampleRow(
  _ input: UnsafeBufferPointer<UInt8>, into output: UnsafeMutableBufferPointer<UInt8>, _ windows: ResamplingWeights
) {
  guard let input = input.baseAddress, let output = output.baseAddress else { return }
  windows.weights.withUnsafeBufferPointer { weights in
    guard let weights = weights.baseAddress else { return }
    for index in 0..<windows.starts.count {
      let weight = weights + index * windows.stride
      var pixel = input + windows.starts[index] * 3
      var red = half
      var green = half
      var blue = half
      for tap in 0..<windows.counts[index] {
        red &+= Int32(pixel[0]) &* weight[tap]
        green &+= Int32(pixel[1]) &* weight[tap]
        blue &+= Int32(pixel[2]) &* weight[tap]
        pixel += 3
      }
      output[index * 3] = clampedByte(red)
      output[index * 3 + 1] = clampedByte(green)
      output[index * 3 + 2] = clampedByte(blue)
    }
  }
}

/// Adds `weight` times each byte of a row to that byte's sum.
private func accumulate(
  _ row: UnsafeBufferPointer<UInt8>, weight: Int32, into sums: UnsafeMutableBufferPointer<Int32>
) {
  guard let row = row.baseAddress, let base = sums.baseAddress else { return }
  for index in 0..<sums.count { base[index] &+= Int32(row[index]) &* weight }
}

private func store(_ sums: UnsafeMutableBufferPointer<Int32>, into row: UnsafeMutableBufferPointer<UInt8>) {
  guard let base = sums.baseAddress, let row = row.baseAddress else { return }
  for index in 0..<sums.count { row[index] = clampedByte(base[index]) }
}
