internal import COpenBLAS

/// out = scale · a · bᵀ with a [rows, inner], b [columns, inner], out [rows, columns], each row-major with its stride.
func multiplyTransposed(
  rows: Int, columns: Int, inner: Int, scale: Float = 1, a: UnsafePointer<Float>, aStride: Int,
  b: UnsafePointer<Float>, bStride: Int, out: UnsafeMutablePointer<Float>, outStride: Int
) {
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), blasint(columns), blasint(inner), scale, a,
    blasint(aStride), b, blasint(bStride), 0, out, blasint(outStride))
}

/// out = a · b with a [rows, inner], b [inner, columns], out [rows, columns], each row-major with its stride.
func multiplyMatrices(
  rows: Int, columns: Int, inner: Int, a: UnsafePointer<Float>, aStride: Int, b: UnsafePointer<Float>, bStride: Int,
  out: UnsafeMutablePointer<Float>, outStride: Int
) {
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(rows), blasint(columns), blasint(inner), 1, a,
    blasint(aStride), b, blasint(bStride), 0, out, blasint(outStride))
}
