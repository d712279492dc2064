internal import CGristBLAS

/// out = scale · a · bᵀ with a [rows, inner], b [columns, inner], out [rows, columns], each row-major with its stride.
func multiplyTransposed(
  rows: Int, columns: Int, inner: Int, scale: Float = 1, a: UnsafePointer<Float>, aStride: Int,
  b: UnsafePointer<Float>, bStride: Int, out: UnsafeMutablePointer<Float>, outStride: Int
) {
  grist_blas_multiply(
    kGristNoTranspose, kGristTranspose, Int32(rows), Int32(columns), Int32(inner), scale, a, Int32(aStride), b,
    Int32(bStride), 0, out, Int32(outStride))
}

/// out = a · b with a [rows, inner], b [inner, columns], out [rows, columns], each row-major with its stride.
func multiplyMatrices(
  rows: Int, columns: Int, inner: Int, a: UnsafePointer<Float>, aStride: Int, b: UnsafePointer<Float>, bStride: Int,
  out: UnsafeMutablePointer<Float>, outStride: Int
) {
  grist_blas_multiply(
    kGristNoTranspose, kGristNoTranspose, Int32(rows), Int32(columns), Int32(inner), 1, a, Int32(aStride), b,
    Int32(bStride), 0, out, Int32(outStride))
}

/// out += aᵀ · b with a [inner, rows], b [inner, columns], out [rows, columns], each row-major with its stride.
func addTransposedProduct(
  rows: Int, columns: Int, inner: Int, a: UnsafePointer<Float>, aStride: Int, b: UnsafePointer<Float>, bStride: Int,
  out: UnsafeMutablePointer<Float>, outStride: Int
) {
  grist_blas_multiply(
    kGristTranspose, kGristNoTranspose, Int32(rows), Int32(columns), Int32(inner), 1, a, Int32(aStride), b,
    Int32(bStride), 1, out, Int32(outStride))
}
