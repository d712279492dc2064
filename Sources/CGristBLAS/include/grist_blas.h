/* The three products of f32 matrices that OpenBLAS computes, as cblas spells them. OpenBLAS is loaded when the first of them is
   asked for: a program that only reads files does without, and it can be told before it starts which kernels suit this CPU,
   where it is older than that and would take slow ones. */
#ifndef GRIST_BLAS_H
#define GRIST_BLAS_H

/* Values of cblas.h. */
enum { kGristRowMajor = 101 };
enum grist_blas_transpose { kGristNoTranspose = 111, kGristTranspose = 112 };

/* out = alpha · op(a) · op(b) + beta · out, row-major: op(a) [rows, inner], op(b) [inner, columns]. */
void grist_blas_multiply(enum grist_blas_transpose a_as, enum grist_blas_transpose b_as, int rows, int columns, int inner,
                         float alpha, const float *a, int a_stride, const float *b, int b_stride, float beta, float *out,
                         int out_stride);

/* x · triangleᵀ = b for x, in place of b: `triangle` [size, size] upper triangular with its diagonal, b [rows, size],
   row-major. */
void grist_blas_solve_upper_transposed(int rows, int size, const float *triangle, int triangle_stride, float *b,
                                       int b_stride);

/* What computes them: OpenBLAS's own description, or "plain loops" where it is not installed. */
const char *grist_blas_description(void);

#endif
