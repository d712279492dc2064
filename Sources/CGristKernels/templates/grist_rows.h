/* What is done to whole rows of activations: norms, softmax, activation functions, sums and rotary positions. */
#ifndef GRIST_ROWS_H
#define GRIST_ROWS_H

#include <math.h>

#include "templates/grist_dots.h"

static void rms_norm(const float *x, const float *weight, float epsilon, float *out, size_t count) {
  float inverse = 1.0f / sqrtf(dot_float(x, x, count) / (float)count + epsilon);
  for (size_t i = 0; i < count; i++) out[i] = weight[i] * (x[i] * inverse);
}

static void layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, float *out, size_t count) {
  float lanes[GRIST_LANES] = {0};
  size_t i = 0;
  for (; i + GRIST_LANES <= count; i += GRIST_LANES)
    for (int j = 0; j < GRIST_LANES; j++) lanes[j] += x[i + (size_t)j];
  for (int j = 0; i < count; i++, j++) lanes[j] += x[i];
  float mean = sum_lanes(lanes) / (float)count;
  memset(lanes, 0, sizeof lanes);
  for (i = 0; i + GRIST_LANES <= count; i += GRIST_LANES)
    for (int j = 0; j < GRIST_LANES; j++) lanes[j] += (x[i + (size_t)j] - mean) * (x[i + (size_t)j] - mean);
  for (int j = 0; i < count; i++, j++) lanes[j] += (x[i] - mean) * (x[i] - mean);
  float inverse = 1.0f / sqrtf(sum_lanes(lanes) / (float)count + epsilon);
  for (i = 0; i < count; i++) out[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
}

static void softmax(float *x, size_t count) {
  float greatest = x[0];
  for (size_t i = 1; i < count; i++) greatest = x[i] > greatest ? x[i] : greatest;
  vec16 sums = {0};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    vec16 e = exp16(load16(x + i) - greatest);
    store16(x + i, e);
    sums += e;
  }
  if (i < count) {
    vec16 e = exp16(load_some(x + i, count - i, greatest - 1000) - greatest);
    store_some(x + i, count - i, e);
    sums += e;
  }
  float inverse = 1.0f / fold(sums);
  for (i = 0; i < count; i++) x[i] *= inverse;
}

/* x[i] = `result`, an expression in v = x[i] ... x[i + 15]. */
#define GRIST_MAP(x, count, result)                             \
  do {                                                          \
    size_t i = 0;                                               \
    for (; i + 16 <= (count); i += 16) {                        \
      vec16 v = load16((x) + i);                                \
      store16((x) + i, result);                                 \
    }                                                           \
    if (i < (count)) {                                          \
      vec16 v = load_some((x) + i, (count) - i, 0);             \
      store_some((x) + i, (count) - i, result);                 \
    }                                                           \
  } while (0)

GRIST_INLINE vec16 sigmoid16(vec16 x) { return 1.0f / (1.0f + exp16(-x)); }

static void silu_multiply(float *gate, const float *up, size_t count) {
  GRIST_MAP(gate, count, v * sigmoid16(v) * load_some(up + i, count - i, 0));
}

static void quick_gelu(float *x, size_t count) { GRIST_MAP(x, count, v * sigmoid16(1.702f * v)); }

static void gelu(float *x, size_t count) {
  GRIST_MAP(x, count, v * 0.5f * (1.0f + erf16(v * 0.70710678118654752440f)));
}

static void relu(float *x, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays NaN */
}

static void add(float *x, const float *y, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] += y[i];
}

static void axpy(float a, const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] += a * x[i];
}

static void rotate_half(float *head, const float *cos, const float *sin, size_t half) {
  for (size_t i = 0; i < half; i++) {
    float low = head[i], high = head[i + half];
    head[i] = low * cos[i] - high * sin[i];
    head[i + half] = high * cos[i] + low * sin[i];
  }
}

#endif
