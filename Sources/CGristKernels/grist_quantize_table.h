/* Quantization to codes that index a table, sixteen rows at a time, with error feedback where the inputs' second moments
   are known. Included by grist_template.h after grist_quantize.h, so once for each instruction set.

   As there, a handful of trial scales gives codes, each code set its best scale, and the winner leaves the least (weighted)
   squared error. The trials put the weight of greatest magnitude on either end of the table and a little around it.

   Error feedback (Frantar et al. 2022, "GPTQ", inside blocks of 64 columns): columns are rounded one after the other, and what
   one loses is taken from the columns of its block still to come, in the proportions that the inverse of the inputs' second moments
   gives. `factor` holds, for each block, the upper triangular U with Uᵀ·U = that inverse, row-major. */
#ifndef GRIST_QUANTIZE_TABLE_H
#define GRIST_QUANTIZE_TABLE_H

#include "grist_quantize.h"

#pragma clang fp contract(off)

enum { kTableTrials = 9 };

struct code_values {
  float values[16], middles[15];
};

struct nearest {
  vec16 value, index;
};

/* The table's value that is nearest to x, and its index as a float. */
GRIST_INLINE struct nearest nearest16(vec16 x, const struct code_values *table) {
  vec16 value = broadcast(table->values[0]), index = {0};
  for (int i = 0; i < 15; i++) {
    vec16i above = x > table->middles[i];
    value = choose(above, broadcast(table->values[i + 1]), value);
    index += choose(above, broadcast(1), broadcast(0));
  }
  return (struct nearest){value, index};
}

/* The scale of one group for sixteen rows, rounded to f16; 0 where nothing usable is there. `importance` weighs the columns' squares. */
GRIST_INLINE vec16u table_scales(
    const vec16 *weights, const float *importance, size_t count, const struct code_values *table) {
  vec16 extreme = extremes(weights, count);
  vec16i zero = extreme == 0.0f;
  vec16 per_extreme = choose(zero, broadcast(0), 1.0f / extreme);
  struct fit best = {broadcast(0), broadcast(1)};
  for (int trial = 0; trial < 2 * kTableTrials; trial++) {
    /* Scales from 0.72 to 1.12 of what puts the extreme on the end of the table. */
    vec16 factor = per_extreme * (table->values[trial < kTableTrials ? 0 : 15] / (0.72f + 0.05f * (float)(trial % kTableTrials)));
    struct fit fit = {{0}, {0}};
    for (size_t k = 0; k < count; k++) {
      vec16 value = nearest16(weights[k] * factor, table).value, weighted = value * importance[k];
      fit.cross += weights[k] * weighted;
      fit.square += value * weighted;
    }
    best = better(best, fit);
  }
  float exact[16];
  uint16_t bits[16];
  store16(exact, choose(zero, broadcast(0), best.cross / best.square));
  half_from_float(exact, bits, 16);
  vec16u result;
  memcpy(&result, bits, sizeof result);
  vec16i wide = __builtin_convertvector(result, vec16i);
  vec16i usable = ((wide & 0x7fff) != 0) & ((wide & 0x7c00) != 0x7c00);
  return result & __builtin_convertvector(usable, vec16u);
}

static double quantize_table_rows(
    const float *weights, size_t rows, size_t columns, size_t group_size, const int8_t *table, const float *factor,
    float prescale, size_t tile_rows, uint8_t *codes, uint16_t *scales) {
  struct code_values values;
  for (int i = 0; i < 16; i++) values.values[i] = table[i];
  for (int i = 0; i < 15; i++) values.middles[i] = (values.values[i] + values.values[i + 1]) / 2;
  size_t padded = padded_columns(columns), groups = (columns + group_size - 1) / group_size;
  double total = 0;
  for (size_t start = 0; start < columns; start += GRIST_MAX_GROUP) {
    /* Whole groups and whole blocks of the feedback alike. */
    size_t count = columns - start < GRIST_MAX_GROUP ? columns - start : GRIST_MAX_GROUP;
    vec16 given[GRIST_MAX_GROUP], left[GRIST_MAX_GROUP], indices[GRIST_MAX_GROUP];
    load_columns(weights, rows, columns, start, count, prescale, given);
    memcpy(left, given, sizeof left);
    float importance[GRIST_MAX_GROUP];
    for (size_t k = 0; k < count; k++) {
      size_t column = start + k, in_block = column % GRIST_ROTATION_BLOCK;
      float own = factor != NULL ? factor[column * GRIST_ROTATION_BLOCK + in_block] : 1;
      importance[k] = 1 / (own * own);
    }
    vec16 scale = {0}, inverse = {0}, error = {0};
    for (size_t k = 0; k < count; k++) {
      if (k % group_size == 0) {
        size_t size = count - k < group_size ? count - k : group_size;
        vec16u bits = table_scales(left + k, importance + k, size, &values);
        scale = load_half16((const uint16_t *)&bits);
        inverse = choose(scale == 0.0f, broadcast(0), 1.0f / scale);
        size_t group = (start + k) / group_size;
        uint16_t group_scales[16];
        memcpy(group_scales, &bits, sizeof bits);
        for (size_t row = 0; row < (tile_rows == 1 ? rows : 16); row++)
          scales[tile_rows == 1 ? row * groups + group : group * 16 + row] = group_scales[row];
      }
      struct nearest nearest = nearest16(left[k] * inverse, &values);
      /* Where nothing is left of a group its codes are those nearest to zero, times a scale of zero. */
      indices[k] = nearest.index;
      vec16 stored = nearest.value * scale, lost = left[k] - stored, difference = given[k] - stored;
      error += difference * difference;
      if (factor != NULL) {
        const float *row = factor + (start + k) * GRIST_ROTATION_BLOCK;
        size_t in_block = (start + k) % GRIST_ROTATION_BLOCK;
        vec16 share = lost * (1 / row[in_block]);
        for (size_t next = k + 1, i = in_block + 1; i < GRIST_ROTATION_BLOCK && next < count; next++, i++)
          left[next] -= share * row[i];
      }
    }
    for (size_t row = 0; row < rows; row++) total += (double)error[row] / ((double)prescale * prescale);
    for (size_t k = count; k < padded_columns(count); k++) indices[k] = broadcast(8);
    for (size_t k = 0; k < count; k += GRIST_BLOCK_COLUMNS) {
      vec16i block = four_columns(indices + k, 0, 15) | four_columns(indices + k + 4, 0, 15) << 4;
      /* Missing rows are codes of 8, like the columns that fill the last block. */
      for (size_t row = rows; row < 16; row++) block[row] = (int32_t)0x88888888;
      size_t word = (start + k) / GRIST_BLOCK_COLUMNS;
      if (tile_rows == 1)
        for (size_t row = 0; row < rows; row++) {
          int32_t bytes = block[row];
          memcpy(codes + row * padded / 2 + word * 4, &bytes, 4);
        }
      else
        memcpy(codes + word * 64, &block, 64);
    }
  }
  return total;
}

#endif
