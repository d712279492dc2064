/* Dot products of stored weights and f32 activations, in 32 interleaved partial sums. */
#ifndef GRIST_DOTS_H
#define GRIST_DOTS_H

#include "templates/grist_halves.h"

#define GRIST_LANES 32

static inline float sum_lanes(const float *lanes) {
  float sums[GRIST_LANES];
  memcpy(sums, lanes, sizeof sums);
  for (int width = GRIST_LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) sums[i] += sums[i + width];
  return sums[0];
}

#define GRIST_DOT(name, type, convert)                                              \
  static float name(const type *weights, const float *x, size_t count) {            \
    float lanes[GRIST_LANES] = {0};                                                 \
    size_t i = 0;                                                                   \
    for (; i + GRIST_LANES <= count; i += GRIST_LANES)                              \
      for (int j = 0; j < GRIST_LANES; j++) lanes[j] += convert(weights[i + j]) * x[i + j]; \
    for (int j = 0; i < count; i++, j++) lanes[j] += convert(weights[i]) * x[i];    \
    return sum_lanes(lanes);                                                        \
  }

#define GRIST_SAME(value) (value)
GRIST_DOT(dot_float, float, GRIST_SAME)
GRIST_DOT(dot_half, uint16_t, half_bits_to_float)
GRIST_DOT(dot_bfloat, uint16_t, bfloat_bits_to_float)

#endif
