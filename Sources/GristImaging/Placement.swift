extension RGBImage {
  /// This image on a canvas of one colour, its top left corner at (x, y). It must lie wholly inside, and the canvas's
  /// extents must have been checked.
  func placed(onWidth canvasWidth: Int, height canvasHeight: Int, x: Int, y: Int, color: [UInt8]) -> RGBImage {
    precondition(x >= 0 && y >= 0 && x + width <= canvasWidth && y + height <= canvasHeight && color.count == 3)
    var canvas = [UInt8](repeating: color[0], count: canvasWidth * canvasHeight * 3)
    if color != [color[0], color[0], color[0]] {
      for index in canvas.indices { canvas[index] = color[index % 3] }
    }
    for row in 0..<height {
      let start = ((y + row) * canvasWidth + x) * 3
      canvas.replaceSubrange(start..<start + width * 3, with: pixels[row * width * 3..<(row + 1) * width * 3])
    }
    return RGBImage(uncheckedWidth: canvasWidth, height: canvasHeight, pixels: canvas)
  }

  /// The pixels of the square of the given side whose top left corner is (x, y). It must lie wholly inside.
  func square(side: Int, x: Int, y: Int) -> [UInt8] {
    precondition(x >= 0 && y >= 0 && side > 0 && x + side <= width && y + side <= height)
    var square: [UInt8] = []
    square.reserveCapacity(side * side * 3)
    for row in y..<y + side {
      let start = (row * width + x) * 3
      square += pixels[start..<start + side * 3]
    }
    return square
  }
}
