/* Vectors of sixteen floats in the compiler's own notation, which it cuts to the registers an instruction set has.
   Included by grist_template.h, so once for each instruction set. */
#ifndef GRIST_VECTORS_H
#define GRIST_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi" /* they never cross a call: everything that takes one is inlined */

#define GRIST_INLINE static inline __attribute__((always_inline))

typedef float vec16 __attribute__((vector_size(64)));
typedef float vec8 __attribute__((vector_size(32)));
typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t vec16i __attribute__((vector_size(64)));

/* `x` in every lane. Adding it to zeros would have to turn -0 into 0. */
GRIST_INLINE vec16 splat16(float x) { return (vec16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

GRIST_INLINE vec16 load16(const float *from) {
  vec16 v;
  memcpy(&v, from, sizeof v);
  return v;
}

GRIST_INLINE void store16(float *to, vec16 v) { memcpy(to, &v, sizeof v); }

/* The first `count` (all sixteen from 16 on), the others `rest`. */
GRIST_INLINE vec16 load_some(const float *from, size_t count, float rest) {
  if (count >= 16) return load16(from);
  vec16 v = splat16(rest);
  for (size_t i = 0; i < count; i++) v[i] = from[i];
  return v;
}

GRIST_INLINE void store_some(float *to, size_t count, vec16 v) {
  for (size_t i = 0; i < count && i < 16; i++) to[i] = v[i];
}

/* Sum of all sixteen. */
GRIST_INLINE float fold(vec16 v) {
  vec8 eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  vec4 four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Rows become columns: interleaving each of the first eight with its partner eight further on, four times over. */
GRIST_INLINE void transpose16(vec16 v[16]) {
  for (int stage = 0; stage < 4; stage++) {
    vec16 w[16];
    for (int i = 0; i < 8; i++) {
      vec16 a = v[i], b = v[i + 8];
      w[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      w[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    memcpy(v, w, sizeof w);
  }
}

/* Where the mask's lane is set (all ones) a's value, else b's; NaN passes through like any other value. */
GRIST_INLINE vec16 choose(vec16i mask, vec16 a, vec16 b) { return (vec16)(((vec16i)a & mask) | ((vec16i)b & ~mask)); }

/* The greatest of all sixteen; of NaN and a number, either. */
GRIST_INLINE float greatest16(vec16 v) {
  vec16 w = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v = choose(w > v, w, v);
  w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
  v = choose(w > v, w, v);
  w = __builtin_shufflevector(v, v, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1);
  v = choose(w > v, w, v);
  return v[1] > v[0] ? v[1] : v[0];
}

/* e^x to about 1 ulp for x in [-87, 88]; smaller x give 0, larger ones a huge finite value, NaN stays NaN. Cody-Waite
   reduction and a degree-6 polynomial. */
GRIST_INLINE vec16 exp16(vec16 x) {
  vec16i tiny = x < -87.3f;
  vec16 clamped = choose(tiny, splat16(-87.3f), choose(x > 88.0f, splat16(88.0f), x));
  vec16 shifted = clamped * 1.44269504088896341f + 12582912.0f;
  vec16 n = shifted - 12582912.0f;
  vec16 r = clamped - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723e-6f;
  vec16 p = splat16(1.0f / 720.0f);
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  /* The low bits of `shifted` hold n above those of 1.5*2^23; what is shifted out is that constant. */
  vec16i power = (vec16i)shifted << 23;
  /* A NaN's payload would be added to the exponent. */
  return choose(x != x, x, choose(tiny, (vec16){0}, (vec16)((vec16i)p + power)));
}

/* The error function to 1.2e-7: below 0.96 an odd polynomial, above it 1 - e^(a polynomial), which is 1 in f32 from 4 on.
   Both are fitted at Chebyshev nodes, to erf(x)/x in x^2 and to log(erfc(x)). */
GRIST_INLINE vec16 erf16(vec16 x) {
  vec16i sign = (vec16i)x & (int32_t)0x80000000;
  vec16 t = (vec16)((vec16i)x & 0x7fffffff);
  vec16 s = x * x;
  vec16 low = splat16(8.144524326780811e-05f);
  low = low * s - 0.0008088070899248123f;
  low = low * s + 0.005196115467697382f;
  low = low * s - 0.02685738168656826f;
  low = low * s + 0.11283658444881439f;
  low = low * s - 0.37612631916999817f;
  low = low * s + 1.128379225730896f;
  vec16 clamped = choose(t > 4.05f, splat16(4.05f), t);
  vec16 high = splat16(-1.3261998901725747e-05f);
  high = high * clamped + 0.00031717150704935193f;
  high = high * clamped - 0.003437251318246126f;
  high = high * clamped + 0.022637169808149338f;
  high = high * clamped - 0.1033862978219986f;
  high = high * clamped - 0.638959527015686f;
  high = high * clamped - 1.1260530948638916f;
  high = high * clamped - 0.0007102871313691139f;
  high = (vec16)((vec16i)(1.0f - exp16(high)) | sign);
  return choose(t < 0.96f, x * low, high);
}

#endif
