/* The kernels in plain C, written so that a compiler can vectorise them. Each instruction set includes this file once
   (with its target attribute around the include), and so gets its own copy; it may then replace single functions in its
   table by hand-written ones. */

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "templates/grist_blocking.h"
#include "templates/grist_columns.h"
#include "templates/grist_dots.h"
#include "grist_kernels.h"
#include "templates/grist_rows.h"
#include "templates/grist_stored_codes.h"
#include "templates/grist_vectors.h"

/* An instruction set that defines GRIST_OWN_TILE_PRODUCTS brings its own multiply_int8_tiles and multiply_int4_tiles
   after this file; one whose CPUs convert f16 by instruction defines GRIST_HAS_HALF. */

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

static void quantize_activations(
    const float *x, size_t columns, size_t group_size, int8_t *codes, float *scales, int32_t *sums) {
  size_t group = 0;
  for (size_t start = 0; start < columns; start += group_size, group++) {
    size_t count = columns - start < group_size ? columns - start : group_size;
    uint32_t greatest_bits = greatest_magnitude_bits(x + start, count);
    if (greatest_bits >= 0x7f800000) { /* carried on to every output by the scale: no code can say it */
      memset(codes + start, 0, count);
      scales[group] = NAN;
      sums[group] = 0;
      continue;
    }
    float greatest;
    memcpy(&greatest, &greatest_bits, sizeof greatest);
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
              int low = p->table != NULL ? p->table[byte & 15] : (byte & 15) - 8;
              int high = p->table != NULL ? p->table[byte >> 4] : (byte >> 4) - 8;
              sums[row] += low * x[k + (size_t)i] + high * x[k + 4 + (size_t)i];
            }
        }
        float scale = p->activation_scales[token * groups + group];
        for (int row = 0; row < GRIST_TILE_ROWS; row++)
          total[row] +=
              half_bits_to_float(scales[group * GRIST_TILE_ROWS + (size_t)row]) * scale * (float)sums[row];
      }
      store_tile_row(p, tile, token, total);
    }
  }
}

#endif

#include "templates/grist_attention.h"

#include "templates/grist_rotate.h"

#include "templates/grist_quantize.h"

#include "templates/grist_quantize_table.h"

static uint16_t greatest_magnitude_bits16(const uint16_t *x, size_t count) {
  uint16_t greatest = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t bits = x[i] & 0x7fff;
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

/* A table's entries, its name and its attention as they are given. */
/* clang-format off */
#define GRIST_TABLE_ENTRIES(isa, own_attend)                                                      \
  .name = isa, .attend = own_attend,                                                              \
  .float_from_half = float_from_half, .half_from_float = half_from_float, .float_from_bfloat = float_from_bfloat,                     \
  .dot_float = dot_float, .dot_half = dot_half, .dot_bfloat = dot_bfloat,                         \
  .quantize_activations = quantize_activations,                                                   \
  .int8_block_bytes = kInt8BlockBytes, .int4_block_bytes = kInt4BlockBytes, .tiles_together = GRIST_TILES_TOGETHER, \
  .multiply_int8_tiles = multiply_int8_tiles, .multiply_int4_tiles = multiply_int4_tiles,         \
  .float_from_tile = float_from_tile,                                                              \
  .attention_scratch = attention_scratch,                                                         \
  .rms_norm = rms_norm, .layer_norm = layer_norm, .softmax = softmax,                             \
  .silu_multiply = silu_multiply, .quick_gelu = quick_gelu, .gelu = gelu, .relu = relu,           \
  .add = add, .axpy = axpy, .rotate_half = rotate_half,                                           \
  .rotate_blocks = rotate_blocks,                                                                 \
  .quantize_rows = quantize_rows, .quantize_table_rows = quantize_table_rows,                     \
  .greatest_magnitude_bits = greatest_magnitude_bits,             \
  .greatest_magnitude_bits16 = greatest_magnitude_bits16,                                         \
  .sum_of_squares = sum_of_squares
/* clang-format on */
