/* What attention multiplies: cells of 32 bits, each one f32 value or, where the CPU multiplies pairs of them
   (GRIST_BF16_DOTS), two bf16 values whose products are summed. Sixteen cells are a vector, kPerCell values each. */
#ifndef GRIST_CELLS_H
#define GRIST_CELLS_H

#include "templates/grist_vectors.h"

#ifdef GRIST_BF16_DOTS

#include <immintrin.h>

enum { kPerCell = 2 };

/* Neighbours of one row share a cell: v holds the values of sixteen cells in order. */
GRIST_INLINE vec16 join_along(const vec16 v[kPerCell]) { return (vec16)_mm512_cvtne2ps_pbh((__m512)v[1], (__m512)v[0]); }

/* What stands in the same place of two rows shares a cell. */
GRIST_INLINE vec16 join_across(const vec16 v[kPerCell]) {
  const __m512i order = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (vec16)_mm512_permutexvar_epi16(order, (__m512i)join_along(v));
}

GRIST_INLINE vec16 multiply_cells(vec16 sums, vec16 a, vec16 b) {
  return (vec16)_mm512_dpbf16_ps((__m512)sums, (__m512bh)a, (__m512bh)b);
}

/* e^(score - greatest), which is at most 1, to 5e-6 of itself, a thousandth of what rounding to bf16 costs: 2^(n + f) with the nearest
   whole n and a polynomial in f, fitted at Chebyshev nodes. */
GRIST_INLINE vec16 weight16(vec16 score, float greatest) {
  const __m512 log2e = _mm512_set1_ps(1.44269504088896341f);
  __m512 x = _mm512_mul_ps(_mm512_sub_ps((__m512)score, _mm512_set1_ps(greatest)), log2e);
  __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(0.009570101276040077f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05591785907745361f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240247443318367f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931217908859253f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.9999992847442627f));
  return (vec16)_mm512_scalef_ps(p, n);
}

#else

enum { kPerCell = 1 };

GRIST_INLINE vec16 join_along(const vec16 v[kPerCell]) { return v[0]; }
GRIST_INLINE vec16 join_across(const vec16 v[kPerCell]) { return v[0]; }
GRIST_INLINE vec16 multiply_cells(vec16 sums, vec16 a, vec16 b) { return sums + a * b; }
GRIST_INLINE vec16 weight16(vec16 score, float greatest) { return exp16(score - greatest); }

#endif

/* Cells that hold `values` neighbours. */
static inline size_t cells(size_t values) { return (values + kPerCell - 1) / kPerCell; }

#endif
