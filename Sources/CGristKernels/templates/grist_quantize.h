/* Quantization of sixteen rows at a time. Included by grist_template.h, so once for each instruction set.

   For codes q, the best scale is s = sum(wq)/sum(qq), and the squared error that remains is sum(ww) -
   sum(wq)^2/sum(qq). So a handful of trial scales gives codes, each code set its best scale, and the winner is the one
   with the greatest sum(wq)^2/sum(qq); rounding to f16 comes last, and the codes are made anew for it.

   A lane is a row, a vector one column of a tile: sums need no folding, and codes leave in the order of the tile.

   Every instruction set gives the same bytes: no multiplication is fused with an addition here. */
#ifndef GRIST_QUANTIZE_H
#define GRIST_QUANTIZE_H

#include <float.h>

#include "templates/grist_columns.h"
#include "templates/grist_halves.h"
#include "templates/grist_stored_codes.h"

#pragma clang fp contract(off)

typedef uint16_t vec16u __attribute__((vector_size(32)));

/* The codes' range, and the trials: each is the (fractional) code that the weight of greatest magnitude would get. An
   even number of them. */
struct code_range {
  float low, high;
  /* Whether a trial alone can lead out of the range. */
  bool clamps;
  const float *trials;
  int trial_count;
};

/* weight * factor rounded to the nearest whole number. Adding 1.5*2^23 rounds, ties to even; until it is taken away
   again the number is ordered as an integer too, and integers are clamped on units that the sums do not need. */
GRIST_INLINE vec16 code16(vec16 weight, vec16 factor, struct code_range range, bool clamps) {
  vec16 shifted = weight * factor + 12582912.0f;
  if (clamps) {
    vec16i low = (vec16i)splat16(12582912.0f + range.low), high = (vec16i)splat16(12582912.0f + range.high);
    shifted = (vec16)__builtin_elementwise_min(__builtin_elementwise_max((vec16i)shifted, low), high);
  }
  return shifted - 12582912.0f;
}

/* The value of greatest magnitude of each lane, with its sign. Several chains, which do not wait for each other. */
GRIST_INLINE vec16 extremes(const vec16 *weights, size_t count) {
  vec16 top[4] = {{0}, {0}, {0}, {0}}, bottom[4] = {{0}, {0}, {0}, {0}};
  size_t k = 0;
  for (; k + 4 <= count; k += 4)
    for (size_t i = 0; i < 4; i++) {
      top[i] = __builtin_elementwise_max(top[i], weights[k + i]);
      bottom[i] = __builtin_elementwise_min(bottom[i], weights[k + i]);
    }
  for (; k < count; k++) {
    top[0] = __builtin_elementwise_max(top[0], weights[k]);
    bottom[0] = __builtin_elementwise_min(bottom[0], weights[k]);
  }
  for (size_t i = 1; i < 4; i++) {
    top[0] = __builtin_elementwise_max(top[0], top[i]);
    bottom[0] = __builtin_elementwise_min(bottom[0], bottom[i]);
  }
  return choose(-bottom[0] > top[0], bottom[0], top[0]);
}

struct fit {
  vec16 cross; /* sum of weight * code */
  vec16 square; /* sum of code * code */
};

/* Keeps the better of two fits, lane by lane: cross^2/square compared without dividing. */
GRIST_INLINE struct fit better(struct fit best, struct fit other) {
  vec16i wins = other.cross * other.cross * best.square > best.cross * best.cross * other.square;
  return (struct fit){choose(wins, other.cross, best.cross), choose(wins, other.square, best.square)};
}

/* The best fit of all trials; two at a time, so that their sums do not wait for each other. */
GRIST_INLINE struct fit best_fit(const vec16 *weights, size_t count, vec16 per_code, struct code_range range) {
  struct fit best = {splat16(0), splat16(1)};
  for (int t = 0; t < range.trial_count; t += 2) {
    vec16 first = range.trials[t] * per_code, second = range.trials[t + 1] * per_code;
    struct fit a = {{0}, {0}}, b = {{0}, {0}};
    for (size_t k = 0; k < count; k++) {
      vec16 w = weights[k];
      vec16 p = code16(w, first, range, range.clamps), q = code16(w, second, range, range.clamps);
      a.cross += w * p;
      a.square += p * p;
      b.cross += w * q;
      b.square += q * q;
    }
    best = better(better(best, a), b);
  }
  return best;
}

GRIST_INLINE vec16 squared_errors(const vec16 *weights, size_t count, vec16 scale, struct code_range range) {
  vec16 sums[2] = {{0}, {0}}, inverse = 1.0f / scale;
  for (size_t k = 0; k < count; k++) {
    vec16 error = weights[k] - scale * code16(weights[k], inverse, range, true);
    sums[k % 2] += error * error;
  }
  return sums[0] + sums[1];
}

/* Scales and codes of one group, `count` columns of sixteen rows; the weights become the codes. Adds the squared errors
   to `errors`. */
GRIST_INLINE void quantize_group(
    vec16 *weights, size_t count, float prescale, struct code_range range, uint16_t scales[16], double errors[16]) {
  vec16 extreme = extremes(weights, count);
  vec16i zero = extreme == 0.0f;
  struct fit best = best_fit(weights, count, choose(zero, splat16(0), 1.0f / extreme), range);
  /* Rounding to f16 moves the scale by up to 2^-11; its neighbours may fit the codes better. And where all but nothing
     is lost, f32 sums cannot tell the trials apart: the first of them, the plain one, is tried for itself. */
  float centres[2][16];
  uint16_t centre_bits[2][16];
  store16(centres[0], best.cross / best.square);
  store16(centres[1], extreme / range.trials[0]);
  half_from_float(centres[0], centre_bits[0], 32);
  vec16u chosen_bits = {0};
  vec16 chosen = splat16(1), least = splat16(FLT_MAX);
  for (int step = -1; step <= 2; step++) {
    vec16u bits;
    memcpy(&bits, centre_bits[step == 2], sizeof bits);
    if (step != 2) bits += (uint16_t)step;
    vec16i wide = __builtin_convertvector(bits, vec16i);
    vec16i usable = ((wide & 0x7fff) != 0) & ((wide & 0x7c00) != 0x7c00) & ~zero;
    vec16 scale = choose(usable, load_half16((const uint16_t *)&bits), splat16(1));
    vec16 error = squared_errors(weights, count, scale, range);
    vec16i wins = usable & (error < least);
    least = choose(wins, error, least);
    chosen = choose(wins, scale, chosen);
    vec16u narrow = __builtin_convertvector(wins, vec16u);
    chosen_bits = (bits & narrow) | (chosen_bits & ~narrow);
  }
  memcpy(scales, &chosen_bits, sizeof chosen_bits);
  /* No usable scale (all zero, or too small for f16): codes of zero, and all is lost. */
  vec16i none = least == FLT_MAX;
  vec16 lost = {0}, inverse = choose(none, splat16(0), 1.0f / chosen);
  for (size_t k = 0; k < count; k++) {
    lost += weights[k] * weights[k];
    weights[k] = code16(weights[k], inverse, range, true);
  }
  vec16 error = choose(none, lost, least);
  for (int row = 0; row < 16; row++) errors[row] += (double)error[row] / ((double)prescale * prescale);
}

/* Columns first ... first + count of up to sixteen rows as vectors of rows, times prescale; zeros beyond the rows and up
   to a whole vector of columns. */
GRIST_INLINE void load_columns(
    const float *weights, size_t rows, size_t columns, size_t first, size_t count, float prescale, vec16 *out) {
  for (size_t column = 0; column < count; column += 16) {
    vec16 v[16];
    for (size_t row = 0; row < 16; row++)
      v[row] = row < rows ? load_some(weights + row * columns + first + column, count - column, 0) * prescale : (vec16){0};
    transpose16(v);
    for (size_t i = 0; i < 16; i++) out[column + i] = v[i];
  }
}

GRIST_INLINE double quantize_sixteen_rows(
    const float *weights, size_t rows, size_t columns, size_t group_size, int bits, float prescale, size_t tile_rows,
    uint8_t *codes, uint16_t *scales, double *row_errors, struct code_range range) {
  size_t padded = padded_columns(columns), groups = (columns + group_size - 1) / group_size, group = 0;
  double errors[16] = {0};
  for (size_t start = 0; start < columns; start += group_size, group++) {
    size_t count = columns - start < group_size ? columns - start : group_size;
    vec16 values[GRIST_MAX_GROUP];
    load_columns(weights, rows, columns, start, count, prescale, values);
    uint16_t group_scales[16];
    quantize_group(values, count, prescale, range, group_scales, errors);
    for (size_t row = 0; row < (tile_rows == 1 ? rows : 16); row++)
      scales[tile_rows == 1 ? row * groups + group : group * 16 + row] = group_scales[row];
    /* Columns beyond the last are codes of zero: load_columns put zeros there, which stay zero. */
    for (size_t k = 0; k < count; k += GRIST_BLOCK_COLUMNS)
      store_block(
          values + k, (start + k) / GRIST_BLOCK_COLUMNS, bits, bits == 8 ? 0 : 8, rows, tile_rows,
          padded * (size_t)bits / 8, codes);
  }
  double total = 0;
  for (size_t row = 0; row < rows; row++) {
    total += errors[row];
    if (row_errors != NULL) row_errors[row] += errors[row];
  }
  return total;
}

static double quantize_rows(
    const float *weights, size_t rows, size_t columns, size_t group_size, int bits, float prescale, size_t tile_rows,
    uint8_t *codes, uint16_t *scales, double *row_errors) {
  /* Scales up to a tenth above the plain greatest/127: with so many codes what matters is how the grid meets the
     weights, and a slightly coarser one that meets them better wins. */
  static const float int8_trials[] = {
      127.00f, 127.40f, 126.77f, 126.14f, 125.50f, 124.87f, 124.24f, 123.61f, 122.98f, 122.35f, 121.71f, 121.08f,
      120.45f, 119.82f, 119.19f, 118.55f, 117.92f, 117.29f, 116.66f, 116.03f, 115.40f, 114.76f, 114.13f, 113.50f};
  /* The weight of greatest magnitude mostly goes to the side with one code more: -8 uses the whole range, less leaves
     room, more clips it for the sake of the rest. In a few groups the other side is far better; 7 there is the plain
     greatest/7. */
  static const float int4_trials[] = {
      -8.00f, -6.80f, -7.06f, -7.33f, -7.59f, -7.86f, -8.12f, -8.39f, -8.65f, -8.91f, -9.18f,
      -9.44f, -9.71f, -9.97f, -10.24f, -10.50f, 6.50f, 7.00f, 7.50f, 8.10f, 8.80f, 9.60f};
  if (bits == 8)
    return quantize_sixteen_rows(
        weights, rows, columns, group_size, 8, prescale, tile_rows, codes, scales, row_errors,
        (struct code_range){-127, 127, false, int8_trials, sizeof int8_trials / sizeof *int8_trials});
  return quantize_sixteen_rows(
      weights, rows, columns, group_size, 4, prescale, tile_rows, codes, scales, row_errors,
      (struct code_range){-8, 7, true, int4_trials, sizeof int4_trials / sizeof *int4_trials});
}

#endif
