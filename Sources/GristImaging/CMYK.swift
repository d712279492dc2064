/// Converts CMYK samples, inverted as Adobe stores them, to RGB in place: four bytes a pixel become three, packed at
/// the start of the buffer.
///
/// The arithmetic is Pillow's: unpack "CMYK;I", then `cmyk2rgb` of `Convert.c`, where a product of two bytes is divided
/// by 255 with rounding.
func convertInvertedCMYKToRGB(_ samples: UnsafeMutableBufferPointer<UInt8>, pixelCount: Int) {
  precondition(samples.count >= pixelCount * 4)
  for pixel in 0..<pixelCount {
    // Inverted back, 255 − K is the byte as it stands, and C is 255 − its byte.
    let white = Int32(samples[pixel * 4 + 3])
    for channel in 0..<3 {
      let ink = 255 - Int32(samples[pixel * 4 + channel])
      let product = ink * white + 128
      let absorbed = (product + product >> 8) >> 8
      // Writing trails reading: byte 3p + c is behind every byte of pixel p + 1, and at p = 0 each byte is its own.
      samples[pixel * 3 + channel] = UInt8(truncatingIfNeeded: max(0, white - absorbed))
    }
  }
}
