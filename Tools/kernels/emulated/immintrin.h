/* What the kernels ask of AVX-512 and AVX-VNNI, for CPUs that have neither: SIMDe's functions in plain C and AVX2 under the
   instructions' own names, and here those that Debian's SIMDe (0.7.4) lacks. `check` puts this before the compiler's own header
   of the same name, and takes both instruction sets out of the functions' targets. */
#ifndef GRIST_EMULATED_IMMINTRIN_H
#define GRIST_EMULATED_IMMINTRIN_H

#include <stdint.h>
#include <string.h>

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

typedef float emulated_floats __attribute__((vector_size(64)));
typedef int32_t emulated_ints __attribute__((vector_size(64)));

#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(x) ((__m512)__builtin_convertvector((emulated_ints)(x), emulated_floats))

/* The only rounding that is asked for. What fits in no integer becomes the least. */
static inline __m512i emulated_floor(__m512 x) {
  emulated_ints result;
  for (int i = 0; i < 16; i++) {
    float whole = __builtin_floorf(x[i]);
    result[i] = whole >= -0x1p31f && whole < 0x1p31f ? (int32_t)whole : INT32_MIN;
  }
  return (__m512i)result;
}
#undef _mm512_cvt_roundps_epi32
#define _mm512_cvt_roundps_epi32(x, rounding)                                                       \
  (__extension__({                                                                                   \
    _Static_assert((rounding) == (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), "no other is known"); \
    emulated_floor(x);                                                                               \
  }))

/* To the nearest, ties to even. */
static inline __m512i emulated_nearest(__m512 x) {
  emulated_ints result;
  for (int i = 0; i < 16; i++) {
    float whole = __builtin_rintf(x[i]);
    result[i] = whole >= -0x1p31f && whole < 0x1p31f ? (int32_t)whole : INT32_MIN;
  }
  return (__m512i)result;
}
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 emulated_nearest

static inline __m512 emulated_floats_of_halves(__m256i halves) {
  __m256 parts[2] = {
      _mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
  __m512 result;
  memcpy(&result, parts, sizeof result);
  return result;
}
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps emulated_floats_of_halves

/* Only what the mask names is touched. */
static inline __m512 emulated_load(__mmask16 mask, const float *from) {
  __m512 result = {0};
  for (int i = 0; i < 16; i++)
    if ((mask >> i & 1) != 0) result[i] = from[i];
  return result;
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps emulated_load

static inline void emulated_store(float *to, __mmask16 mask, __m512 values) {
  for (int i = 0; i < 16; i++)
    if ((mask >> i & 1) != 0) to[i] = values[i];
}
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps emulated_store

static inline int32_t emulated_sum(__m512i values) {
  emulated_ints ints = (emulated_ints)values;
  uint32_t sum = 0;
  for (int i = 0; i < 16; i++) sum += (uint32_t)ints[i];
  return (int32_t)sum;
}
#undef _mm512_reduce_add_epi32
#define _mm512_reduce_add_epi32 emulated_sum

/* To the nearest, ties to even; what is too small for a normal number counts as zero, and what is no number stays none. The second
   comes first. */
static inline uint16_t emulated_bfloat(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  if ((bits & 0x7f800000) == 0) return (uint16_t)(bits >> 31 << 15);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static inline __m512bh emulated_bfloats(__m512 high, __m512 low) {
  uint16_t values[32];
  for (int i = 0; i < 16; i++) {
    values[i] = emulated_bfloat(low[i]);
    values[16 + i] = emulated_bfloat(high[i]);
  }
  __m512bh result;
  memcpy(&result, values, sizeof result);
  return result;
}
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh emulated_bfloats

/* AVX-VNNI has the instruction of AVX-512 under a name of its own. */
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32

#endif
