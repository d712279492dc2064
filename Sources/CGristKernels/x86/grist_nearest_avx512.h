/* The nearest value of a table by looking it up. Included by grist_quantize_table.h for AVX-512, which looks up 32 entries
   in two registers. */
#ifndef GRIST_NEAREST_AVX512_H
#define GRIST_NEAREST_AVX512_H

#include <immintrin.h>

#include "templates/grist_code_values.h"

enum { kAtOnce = 4 };

/* What nearest_in_buckets takes is x times this and the table's unit. */
#define GRIST_NEAREST_UNIT (1.0f / kBucketWidth)

/* The same as nearest16 without buckets for whatever x, and for several at once: one alone is a chain of
   instructions that wait for each other. Values and indices may be NULL. Without `may_leave` x lies in the buckets. */
GRIST_INLINE void nearest_in_buckets(
    const vec16 *x, const struct code_values *table, bool may_leave, vec16 *values, vec16 *indices, int count) {
  __m512i buckets[kAtOnce], below[kAtOnce], index[kAtOnce];
  __m512 middles[kAtOnce];
  __mmask16 above[kAtOnce];
  /* What is no number becomes the least integer. */
  for (int i = 0; i < count; i++)
    buckets[i] = _mm512_cvt_roundps_epi32((__m512)x[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  for (int i = 0; i < count && may_leave; i++) {
    buckets[i] = _mm512_min_epi32(buckets[i], _mm512_set1_epi32(kBuckets / 2 - 1));
    buckets[i] = _mm512_max_epi32(buckets[i], _mm512_set1_epi32(-kBuckets / 2));
  }
  /* The lookup takes the last five bits: negative buckets come out as the upper half, where the table has them. */
  for (int i = 0; i < count; i++)
    middles[i] = _mm512_permutex2var_ps(
        _mm512_loadu_ps(table->bucket_middles), buckets[i], _mm512_loadu_ps(table->bucket_middles + 16));
  for (int i = 0; i < count; i++)
    below[i] = _mm512_permutex2var_epi32(
        _mm512_loadu_si512(table->bucket_indices), buckets[i], _mm512_loadu_si512(table->bucket_indices + 16));
  for (int i = 0; i < count; i++) above[i] = _mm512_cmp_ps_mask((__m512)x[i], middles[i], _CMP_GT_OQ);
  for (int i = 0; i < count; i++)
    index[i] = _mm512_mask_add_epi32(below[i], above[i], below[i], _mm512_set1_epi32(1));
  for (int i = 0; i < count; i++) {
    if (values != NULL) values[i] = (vec16)_mm512_permutexvar_ps(index[i], _mm512_loadu_ps(table->values));
    if (indices != NULL) indices[i] = (vec16)_mm512_cvtepi32_ps(index[i]);
  }
}

#endif
