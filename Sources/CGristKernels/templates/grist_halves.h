/* Floats of 16 bits to floats and back, in a form that compilers vectorise. Included by what an instruction set includes, so once
   for each; one whose CPUs convert f16 by instruction defines GRIST_HAS_HALF. */
#ifndef GRIST_HALVES_H
#define GRIST_HALVES_H

#include "grist_kernels.h"
#include "templates/grist_vectors.h"

static inline float half_bits_to_float(uint16_t bits) {
#ifdef GRIST_HAS_HALF
  _Float16 half;
  memcpy(&half, &bits, sizeof half);
  return half;
#else
  /* Branch-free for vectorisers: exponent rebias by multiplication also handles subnormals; infinities and NaNs keep
     a full exponent. */
  uint32_t wide = (uint32_t)(bits & 0x7fff) << 13;
  float value;
  memcpy(&value, &wide, sizeof value);
  value *= 0x1p112f;
  uint32_t out;
  memcpy(&out, &value, sizeof out);
  uint32_t special = (uint32_t)0 - (uint32_t)((bits & 0x7c00) == 0x7c00);
  out = (out | (special & 0x7f800000)) | (uint32_t)(bits & 0x8000) << 16;
  memcpy(&value, &out, sizeof value);
  return value;
#endif
}

static inline float bfloat_bits_to_float(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static void float_from_half(const uint16_t *source, float *out, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = half_bits_to_float(source[i]);
}

static void float_from_bfloat(const uint16_t *source, float *out, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = bfloat_bits_to_float(source[i]);
}

#ifdef GRIST_HAS_HALF
typedef _Float16 vec16h __attribute__((vector_size(32)));
#endif

GRIST_INLINE vec16 load_half16(const uint16_t *from) {
#ifdef GRIST_HAS_HALF
  vec16h v;
  memcpy(&v, from, sizeof v);
  return __builtin_convertvector(v, vec16);
#else
  vec16 v;
  for (int i = 0; i < 16; i++) v[i] = half_bits_to_float(from[i]);
  return v;
#endif
}

static void half_from_float(const float *source, uint16_t *out, size_t count) {
  size_t i = 0;
#ifdef GRIST_HAS_HALF
  for (; i + 16 <= count; i += 16) {
    vec16h v = __builtin_convertvector(load16(source + i), vec16h);
    memcpy(out + i, &v, sizeof v);
  }
#endif
  for (; i < count; i++) out[i] = grist_half_from_float(source[i]);
}

#endif
