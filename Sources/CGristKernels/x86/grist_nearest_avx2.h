/* The nearest value of a table by looking it up. Included by grist_quantize_table.h for AVX2, which looks up bytes: 32 numbers at
   a time, as two columns of sixteen rows.

   Middles are multiples of a half, so x lies above one just where 2x, rounded up to a whole number, is greater than twice that
   middle; all times the table's unit likewise. From there on all is integers: the bucket, sixteen of those wide, and the place in it. */
#ifndef GRIST_NEAREST_AVX2_H
#define GRIST_NEAREST_AVX2_H

#include <immintrin.h>

#include "templates/grist_code_values.h"

/* What nearest_in_buckets takes is x times this and the table's unit. */
#define GRIST_NEAREST_UNIT 2.0f

/* Eight numbers rounded up. What is no number becomes the least integer. */
GRIST_INLINE __m256i whole_above(__m256 x, bool may_leave) {
  /* Of a number and no number this gives the second. */
  if (may_leave) x = _mm256_min_ps(_mm256_set1_ps(2 * kBuckets * kBucketWidth), x);
  return _mm256_cvttps_epi32(_mm256_ceil_ps(x));
}

/* Of bytes that were packed lane by lane from four vectors of eight, those of the vector numbered `part`, as floats. */
GRIST_INLINE __m256 unpacked_floats(__m256i bytes, int part) {
  /* To the top of each four bytes, from where a shift brings the sign along. */
  char first = (char)(4 * part);
  __m256i places = _mm256_broadcastsi128_si256(_mm_setr_epi8(
      -1, -1, -1, first, -1, -1, -1, first + 1, -1, -1, -1, first + 2, -1, -1, -1, first + 3));
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_shuffle_epi8(bytes, places), 24));
}

GRIST_INLINE vec16 unpacked_column(__m256i bytes, int column) {
  __m256 halves[2] = {unpacked_floats(bytes, 2 * column), unpacked_floats(bytes, 2 * column + 1)};
  vec16 result;
  memcpy(&result, halves, sizeof result);
  return result;
}

/* The same as nearest16 without buckets for whatever x, `count` at once; values and indices may be NULL. Without `may_leave` x
   lies in the buckets. */
GRIST_INLINE void nearest_in_buckets(
    const vec16 *x, const struct code_values *table, bool may_leave, vec16 *values, vec16 *indices, int count) {
  const __m256i above = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table->bucket_steps));
  const __m256i below = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table->bucket_steps + 16)));
  const __m256i codes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table->codes));
  for (int i = 0; i < count; i += 2) {
    bool both = i + 1 < count;
    __m256 halves[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    memcpy(halves, x + i, (both ? 2 : 1) * sizeof *x);
    __m256i first = _mm256_packs_epi32(whole_above(halves[0], may_leave), whole_above(halves[1], may_leave));
    __m256i second = _mm256_packs_epi32(whole_above(halves[2], may_leave), whole_above(halves[3], may_leave));
    __m256i bucket = _mm256_packs_epi16(_mm256_srai_epi16(first, 4), _mm256_srai_epi16(second, 4));
    if (may_leave) {
      bucket = _mm256_min_epi8(bucket, _mm256_set1_epi8(kBuckets / 2 - 1));
      bucket = _mm256_max_epi8(bucket, _mm256_set1_epi8(-kBuckets / 2));
    }
    __m256i fifteen = _mm256_set1_epi16(15);
    __m256i place = _mm256_packus_epi16(_mm256_and_si256(first, fifteen), _mm256_and_si256(second, fifteen));
    /* A lookup gives zero where the top bit is set: negative buckets have it, and the others once it is turned. */
    __m256i turned = _mm256_xor_si256(bucket, _mm256_set1_epi8((char)0x80));
    __m256i steps = _mm256_or_si256(_mm256_shuffle_epi8(above, bucket), _mm256_shuffle_epi8(below, turned));
    __m256i index = _mm256_and_si256(_mm256_srli_epi16(_mm256_add_epi8(steps, place), 4), _mm256_set1_epi8(15));
    __m256i value = _mm256_shuffle_epi8(codes, index);
    for (int column = 0; column < (both ? 2 : 1); column++) {
      if (values != NULL) values[i + column] = unpacked_column(value, column);
      if (indices != NULL) indices[i + column] = unpacked_column(index, column);
    }
  }
}

#endif
