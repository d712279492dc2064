/* The kernels in plain C, written so that a compiler can vectorise them. Each instruction set includes this file once
   with GRIST_ISA set to its name (and, around the include, its target attribute), and so gets its own copy; it may
   then replace single functions in its table by hand-written ones. */

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "grist_kernels.h"
#include "grist_vectors.h"

/* An instruction set that defines GRIST_OWN_TILE_PRODUCTS brings its own multiply_int8_tiles and multiply_int4_tiles
   after this file; one whose CPUs convert f16 by instruction defines GRIST_HAS_HALF. */

#define GRIST_LANES 32

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

static void quantize_activations(
    const float *x, size_t columns, size_t group_size, int8_t *codes, float *scales, int32_t *sums) {
  size_t group = 0;
  for (size_t start = 0; start < columns; start += group_size, group++) {
    size_t count = columns - start < group_size ? columns - start : group_size;
    float greatest = 0;
    for (size_t i = 0; i < count; i++) {
      float magnitude = fabsf(x[start + i]);
      greatest = magnitude > greatest ? magnitude : greatest;
    }
    float inverse = greatest > 0 ? 127.0f / greatest : 0;
    if (!(inverse <= 3.0e38f)) inverse = 0; /* so tiny that 127/greatest overflows: nothing is lost by zero */
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
      /* Adding 1.5*2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits. */
      float shifted = x[start + i] * inverse + 12582912.0f;
      int32_t bits;
      memcpy(&bits, &shifted, sizeof bits);
      int32_t code = bits - 0x4b400000;
      codes[start + i] = (int8_t)code;
      sum += code;
    }
    scales[group] = inverse > 0 ? greatest / 127.0f : 0;
    sums[group] = sum;
  }
  for (size_t i = columns; i % GRIST_BLOCK_COLUMNS != 0; i++) codes[i] = 0;
}

static inline size_t padded_columns(size_t columns) {
  return (columns + GRIST_BLOCK_COLUMNS - 1) / GRIST_BLOCK_COLUMNS * GRIST_BLOCK_COLUMNS;
}

#ifndef GRIST_OWN_TILE_PRODUCTS
static inline void store_tile_row(
    const grist_tile_product *p, size_t tile, size_t token, const float *values) {
  size_t first = tile * GRIST_TILE_ROWS;
  size_t rows = p->rows - first < GRIST_TILE_ROWS ? p->rows - first : GRIST_TILE_ROWS;
  float *out = p->out + token * p->out_stride + first;
  for (size_t row = 0; row < rows; row++)
    out[row] = values[row] * p->multiplier + (p->bias != NULL ? p->bias[first + row] : 0);
}

static void multiply_int8_tiles(const grist_tile_product *p) {
  size_t padded = padded_columns(p->columns);
  size_t groups = (p->columns + p->group_size - 1) / p->group_size;
  for (size_t tile = 0; tile < p->tiles && tile * GRIST_TILE_ROWS < p->rows; tile++) {
    const int8_t *codes = (const int8_t *)p->codes + tile * padded * GRIST_TILE_ROWS;
    const uint16_t *scales = p->scales + tile * groups * GRIST_TILE_ROWS;
    for (size_t token = 0; token < p->tokens; token++) {
      const int8_t *x = p->activations + token * padded;
      float total[GRIST_TILE_ROWS] = {0};
      for (size_t group = 0; group < groups; group++) {
        size_t start = group * p->group_size;
        size_t end = start + p->group_size < padded ? start + p->group_size : padded;
        int32_t sums[GRIST_TILE_ROWS] = {0};
        for (size_t k = start; k < end; k += 4)
          for (int row = 0; row < GRIST_TILE_ROWS; row++)
            for (int i = 0; i < 4; i++)
              sums[row] += codes[k * GRIST_TILE_ROWS + (size_t)(4 * row + i)] * x[k + (size_t)i];
        float scale = p->activation_scales[token * groups + group];
        for (int row = 0; row < GRIST_TILE_ROWS; row++)
          total[row] += half_bits_to_float(scales[group * GRIST_TILE_ROWS + (size_t)row]) * scale * (float)sums[row];
      }
      store_tile_row(p, tile, token, total);
    }
  }
}

static void multiply_int4_tiles(const grist_tile_product *p) {
  size_t padded = padded_columns(p->columns);
  size_t groups = (p->columns + p->group_size - 1) / p->group_size;
  for (size_t tile = 0; tile < p->tiles && tile * GRIST_TILE_ROWS < p->rows; tile++) {
    const uint8_t *codes = p->codes + tile * padded / 2 * GRIST_TILE_ROWS;
    const uint16_t *scales = p->scales + tile * groups * GRIST_TILE_ROWS;
    for (size_t token = 0; token < p->tokens; token++) {
      const int8_t *x = p->activations + token * padded;
      float total[GRIST_TILE_ROWS] = {0};
      for (size_t group = 0; group < groups; group++) {
        size_t start = group * p->group_size;
        size_t end = start + p->group_size < padded ? start + p->group_size : padded;
        int32_t sums[GRIST_TILE_ROWS] = {0};
        for (size_t k = start; k < end; k += GRIST_BLOCK_COLUMNS) {
          const uint8_t *block = codes + k / 2 * GRIST_TILE_ROWS;
          for (int row = 0; row < GRIST_TILE_ROWS; row++)
            for (int i = 0; i < 4; i++) {
              int byte = block[4 * row + i];
              sums[row] += (byte & 15) * x[k + (size_t)i] + (byte >> 4) * x[k + 4 + (size_t)i];
            }
        }
        float scale = p->activation_scales[token * groups + group];
        int32_t bias = 8 * p->activation_sums[token * groups + group];
        for (int row = 0; row < GRIST_TILE_ROWS; row++)
          total[row] +=
              half_bits_to_float(scales[group * GRIST_TILE_ROWS + (size_t)row]) * scale * (float)(sums[row] - bias);
      }
      store_tile_row(p, tile, token, total);
    }
  }
}

#endif

static void float_from_int8_tile(
    const uint8_t *codes, const uint16_t *scales, size_t columns, size_t group_size, float multiplier, float *out) {
  const int8_t *values = (const int8_t *)codes;
  for (int row = 0; row < GRIST_TILE_ROWS; row++)
    for (size_t column = 0; column < columns; column++) {
      float scale = half_bits_to_float(scales[column / group_size * GRIST_TILE_ROWS + (size_t)row]) * multiplier;
      out[(size_t)row * columns + column] =
          scale * values[column / 4 * 4 * GRIST_TILE_ROWS + (size_t)(4 * row) + column % 4];
    }
}

static void float_from_int4_tile(
    const uint8_t *codes, const uint16_t *scales, size_t columns, size_t group_size, float multiplier, float *out) {
  for (int row = 0; row < GRIST_TILE_ROWS; row++)
    for (size_t column = 0; column < columns; column++) {
      float scale = half_bits_to_float(scales[column / group_size * GRIST_TILE_ROWS + (size_t)row]) * multiplier;
      uint8_t byte = codes[column / 8 * 4 * GRIST_TILE_ROWS + (size_t)(4 * row) + column % 4];
      int code = (column % 8 < 4 ? byte & 15 : byte >> 4) - 8;
      out[(size_t)row * columns + column] = scale * (float)code;
    }
}

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
  for (size_t i = 0; i < count; i++) x[i] = x[i] > 0 ? x[i] : 0;
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

#include "grist_attention.h"

/* Quantization of one group. For codes q, the best scale is s = sum(wq)/sum(qq), and the squared error that remains is
   sum(ww) - sum(wq)^2/sum(qq). So a handful of trial scales gives codes, each code set its best scale, and the winner
   is the one with the greatest sum(wq)^2/sum(qq); rounding to f16 comes last, and the codes are made anew for it. */

/* A group is padded with zeros to whole vectors: zeros get code zero and add nothing to any sum. */

static inline vec16 round_codes(vec16 values, float low, float high) {
  vec16 rounded = (values + 12582912.0f) - 12582912.0f;
  return __builtin_elementwise_min(__builtin_elementwise_max(rounded, (vec16){0} + low), (vec16){0} + high);
}

struct group_fit {
  float cross; /* sum of weight * code */
  float square; /* sum of code * code */
};

static inline struct group_fit fit_group(const vec16 *weights, size_t vectors, float inverse, float low, float high) {
  vec16 cross = {0}, square = {0};
  for (size_t i = 0; i < vectors; i++) {
    vec16 codes = round_codes(weights[i] * inverse, low, high);
    cross += weights[i] * codes;
    square += codes * codes;
  }
  return (struct group_fit){fold(cross), fold(square)};
}

static inline float scale_error(const vec16 *weights, size_t vectors, float scale, float low, float high) {
  vec16 errors = {0};
  float inverse = 1.0f / scale;
  for (size_t i = 0; i < vectors; i++) {
    vec16 error = weights[i] - scale * round_codes(weights[i] * inverse, low, high);
    errors += error * error;
  }
  return fold(errors);
}

/* Each trial is the (fractional) code that the weight of greatest magnitude would get. */
static inline uint16_t quantize_group(
    const float *weights, size_t count, float prescale, float low, float high, const float *trials, int trial_count,
    int8_t *codes, double *squared_error) {
  vec16 scaled[GRIST_MAX_GROUP / 16];
  float *values = (float *)scaled;
  size_t vectors = (count + 15) / 16;
  scaled[vectors - 1] = (vec16){0};
  for (size_t i = 0; i < count; i++) values[i] = weights[i] * prescale;
  vec16 greatest = scaled[0], least = scaled[0];
  for (size_t i = 1; i < vectors; i++) {
    greatest = __builtin_elementwise_max(greatest, scaled[i]);
    least = __builtin_elementwise_min(least, scaled[i]);
  }
  float top = __builtin_reduce_max(greatest), bottom = __builtin_reduce_min(least);
  float extreme = -bottom > top ? bottom : top;
  *squared_error = 0;
  if (extreme == 0) {
    memset(codes, 0, count);
    return 0;
  }
  struct group_fit best = {0, 1};
  float per_code = 1.0f / extreme;
  for (int t = 0; t < trial_count; t++) {
    struct group_fit fit = fit_group(scaled, vectors, trials[t] * per_code, low, high);
    /* cross^2/square compared without dividing. */
    if (fit.cross * fit.cross * best.square > best.cross * best.cross * fit.square) best = fit;
  }
  /* Rounding to f16 moves the scale by up to 2^-11; its neighbours may fit the codes better. */
  uint16_t centre = grist_half_from_float(best.cross / best.square);
  uint16_t bits = 0;
  float best_error = INFINITY;
  for (int step = -1; step <= 1; step++) {
    uint16_t candidate = (uint16_t)(centre + step);
    if ((candidate & 0x7fff) == 0 || (candidate & 0x7c00) == 0x7c00) continue;
    float error = scale_error(scaled, vectors, half_bits_to_float(candidate), low, high);
    if (error < best_error) {
      best_error = error;
      bits = candidate;
    }
  }
  if (bits == 0) {
    for (size_t i = 0; i < count; i++) *squared_error += (double)weights[i] * weights[i];
    memset(codes, 0, count);
    return 0;
  }
  float inverse = 1.0f / half_bits_to_float(bits);
  for (size_t i = 0; i < vectors; i++) scaled[i] = round_codes(scaled[i] * inverse, low, high);
  for (size_t i = 0; i < count; i++) codes[i] = (int8_t)values[i];
  *squared_error = (double)best_error / ((double)prescale * prescale);
  return bits;
}

static uint16_t quantize_int8_group(
    const float *weights, size_t count, float prescale, int8_t *codes, double *squared_error) {
  /* Scales up to a tenth above the plain greatest/127: with so many codes what matters is how the grid meets the
     weights, and a slightly coarser one that meets them better wins. */
  static const float trials[] = {
      127.00f, 127.40f, 126.77f, 126.14f, 125.50f, 124.87f, 124.24f, 123.61f, 122.98f, 122.35f, 121.71f,
      121.08f, 120.45f, 119.82f, 119.19f, 118.55f, 117.92f, 117.29f, 116.66f, 116.03f, 115.40f, 114.76f,
      114.13f, 113.50f};
  return quantize_group(
      weights, count, prescale, -127, 127, trials, sizeof trials / sizeof *trials, codes, squared_error);
}

static uint16_t quantize_int4_group(
    const float *weights, size_t count, float prescale, int8_t *codes, double *squared_error) {
  /* The weight of greatest magnitude mostly goes to the side with one code more: -8 uses the whole range, less leaves
     room, more clips it for the sake of the rest. In a few groups the other side is far better; 7 there is the plain
     greatest/7. */
  static const float trials[] = {
      -8.00f, -6.80f, -7.06f, -7.33f, -7.59f, -7.86f, -8.12f, -8.39f, -8.65f, -8.91f, -9.18f, -9.44f, -9.71f,
      -9.97f, -10.24f, -10.50f, 6.50f, 7.00f, 7.50f, 8.10f, 8.80f, 9.60f};
  return quantize_group(
      weights, count, prescale, -8, 7, trials, sizeof trials / sizeof *trials, codes, squared_error);
}

static double quantize_row(
    const float *weights, size_t columns, size_t group_size, int bits, float prescale, size_t row, size_t tile_rows,
    uint8_t *codes, uint16_t *scales) {
  double total = 0;
  size_t padded = padded_columns(columns), group = 0;
  for (size_t start = 0; start < columns; start += group_size, group++) {
    size_t count = columns - start < group_size ? columns - start : group_size;
    int8_t group_codes[GRIST_MAX_GROUP];
    double squared_error;
    scales[group * tile_rows + row] = bits == 8
        ? quantize_int8_group(weights + start, count, prescale, group_codes, &squared_error)
        : quantize_int4_group(weights + start, count, prescale, group_codes, &squared_error);
    total += squared_error;
    for (size_t i = count; (start + i) % GRIST_BLOCK_COLUMNS != 0 && start + i < padded; i++) group_codes[i] = 0;
    size_t end = start + count < columns ? start + count : padded;
    for (size_t k = start; k < end; k += GRIST_BLOCK_COLUMNS) {
      const int8_t *block = group_codes + (k - start);
      if (bits == 8) {
        memcpy(codes + (k * tile_rows + 4 * row), block, 4);
        memcpy(codes + ((k + 4) * tile_rows + 4 * row), block + 4, 4);
      } else {
        uint8_t *bytes = codes + (k / 2 * tile_rows + 4 * row);
        for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)((block[i] + 8) | (block[4 + i] + 8) << 4);
      }
    }
  }
  return total;
}

static uint32_t greatest_magnitude_bits(const float *x, size_t count) {
  uint32_t greatest = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= 0x7fffffff;
    greatest = bits > greatest ? bits : greatest;
  }
  return greatest;
}

static double sum_of_squares(const float *x, size_t count) {
  double lanes[8] = {0};
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int j = 0; j < 8; j++) lanes[j] += (double)x[i + (size_t)j] * x[i + (size_t)j];
  for (int j = 0; i < count; i++, j++) lanes[j] += (double)x[i] * x[i];
  double total = 0;
  for (int j = 0; j < 8; j++) total += lanes[j];
  return total;
}

#define GRIST_TEXT_(a) #a
#define GRIST_TEXT(a) GRIST_TEXT_(a)

/* clang-format off */
#define GRIST_TABLE_ENTRIES                                                                       \
  .name = GRIST_TEXT(GRIST_ISA),                                                                  \
  .float_from_half = float_from_half, .half_from_float = half_from_float, .float_from_bfloat = float_from_bfloat,                     \
  .dot_float = dot_float, .dot_half = dot_half, .dot_bfloat = dot_bfloat,                         \
  .quantize_activations = quantize_activations,                                                   \
  .multiply_int8_tiles = multiply_int8_tiles, .multiply_int4_tiles = multiply_int4_tiles,         \
  .float_from_int8_tile = float_from_int8_tile, .float_from_int4_tile = float_from_int4_tile,     \
  .attend = attend, .attention_scratch = attention_scratch,                                       \
  .rms_norm = rms_norm, .layer_norm = layer_norm, .softmax = softmax,                             \
  .silu_multiply = silu_multiply, .quick_gelu = quick_gelu, .gelu = gelu, .relu = relu,           \
  .add = add, .axpy = axpy, .rotate_half = rotate_half,                                           \
  .quantize_row = quantize_row, .greatest_magnitude_bits = greatest_magnitude_bits,              \
  .sum_of_squares = sum_of_squares
/* clang-format on */
