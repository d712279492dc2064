/// Where an image goes on the grid of tiles that suits it best, after LLaVA-NeXT's `select_best_resolution` and
/// `resize_and_pad_image`.
///
/// Every operation is in double precision and in upstream's order, since truncations follow.
struct AnyResolutionLayout: Equatable {
  /// The grid's extents in pixels, one of the pinpoints.
  let canvasWidth: Int
  let canvasHeight: Int
  /// Extents the image is scaled to; at least 1 and inside the canvas.
  let scaledWidth: Int
  let scaledHeight: Int

  /// Offset of the scaled image, which is centred.
  var x: Int { (canvasWidth - scaledWidth) / 2 }
  var y: Int { (canvasHeight - scaledHeight) / 2 }

  /// Nil when there is no pinpoint.
  init?(imageWidth: Int, imageHeight: Int, gridPinpoints: [(width: Int, height: Int)]) {
    guard
      let canvas = Self.best(of: gridPinpoints, imageWidth: imageWidth, imageHeight: imageHeight)
    else { return nil }
    let horizontalScale = Double(canvas.width) / Double(imageWidth)
    let verticalScale = Double(canvas.height) / Double(imageHeight)
    canvasWidth = canvas.width
    canvasHeight = canvas.height
    if horizontalScale < verticalScale {
      scaledWidth = canvas.width
      scaledHeight = min(Int((Double(imageHeight) * horizontalScale).rounded(.up)), canvas.height)
    } else {
      scaledWidth = min(Int((Double(imageWidth) * verticalScale).rounded(.up)), canvas.width)
      scaledHeight = canvas.height
    }
  }

  /// The pinpoint that keeps most of the image's pixels, among those the one that wastes least; the first of equals.
  private static func best(
    of gridPinpoints: [(width: Int, height: Int)], imageWidth: Int, imageHeight: Int
  ) -> (width: Int, height: Int)? {
    var best: (width: Int, height: Int)?
    var greatestEffective = 0
    var leastWasted = Int.max
    for (width, height) in gridPinpoints {
      let scale = min(Double(width) / Double(imageWidth), Double(height) / Double(imageHeight))
      let scaledWidth = Int(Double(imageWidth) * scale)
      let scaledHeight = Int(Double(imageHeight) * scale)
      let effective = min(scaledWidth * scaledHeight, imageWidth * imageHeight)
      let wasted = width * height - effective
      if effective > greatestEffective || (effective == greatestEffective && wasted < leastWasted) {
        greatestEffective = effective
        leastWasted = wasted
        best = (width, height)
      }
    }
    return best
  }
}
