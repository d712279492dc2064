/* Quantization to codes that index a table, sixteen rows at a time, with error feedback where the inputs' second moments
   are known. Included by grist_template.h after grist_quantize.h, so once for each instruction set.

   As there, a handful of trial scales gives codes, each code set its best scale, and the winner leaves the least (weighted)
   squared error. The trials put the weight of greatest magnitude on either end of the table and a little around it.

   Error feedback (Frantar et al. 2022, "GPTQ", in the form of Chee et al. 2023, "QuIP"): columns are rounded one after the other,
   and what one loses is added to the columns of its window still to come, in the proportions of the unit upper triangular factor of
   the inputs' second moments. */
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

/* Scales rounded to f16; 0 where nothing usable comes of it. */
GRIST_INLINE vec16u half_scales(vec16 exact) {
  float values[16];
  uint16_t bits[16];
  store16(values, exact);
  half_from_float(values, bits, 16);
  vec16u result;
  memcpy(&result, bits, sizeof result);
  vec16i wide = __builtin_convertvector(result, vec16i);
  vec16i usable = ((wide & 0x7fff) != 0) & ((wide & 0x7c00) != 0x7c00);
  return result & __builtin_convertvector(usable, vec16u);
}

GRIST_INLINE vec16 scales_from_half(vec16u bits) { return load_half16((const uint16_t *)&bits); }

GRIST_INLINE vec16 inverse_scales(vec16 scale) { return choose(scale == 0.0f, broadcast(0), 1.0f / scale); }

/* The scale of one group for sixteen rows, each column for itself. `importance` weighs the columns' squares. */
GRIST_INLINE vec16 table_scales(
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
  return choose(zero, broadcast(0), best.cross / best.square);
}

/* The scale near `scale` that leaves least when losses are fed on. Columns `first` to `first + count` of `left` and `given`, which
   begin with the job's column `start`. */
GRIST_INLINE vec16 scales_with_feedback(
    const struct grist_table_rows *job, const vec16 *given, const vec16 *left, const float *importance, size_t start, size_t first,
    size_t count, const struct code_values *table, vec16 scale) {
  static const float factors[] = {1, 0.86f, 0.9f, 0.94f, 0.97f, 1.03f, 1.06f, 1.1f};
  vec16 least = broadcast(FLT_MAX), best = scale;
  for (size_t trial = 0; trial < sizeof factors / sizeof *factors; trial++) {
    vec16 tried = scales_from_half(half_scales(scale * factors[trial])), inverse = inverse_scales(tried), loss = {0};
    vec16 trial_left[GRIST_MAX_GROUP];
    memcpy(trial_left, left + first, count * sizeof *left);
    for (size_t k = 0; k < count; k++) {
      vec16 stored = nearest16(trial_left[k] * inverse, table).value * tried, missed = trial_left[k] - stored;
      vec16 lost = given[first + k] - stored;
      loss += missed * missed * importance[first + k];
      const float *shares = job->coefficients + (start + first + k) * job->window;
      for (size_t next = k + 1, i = (start + first + k) % job->window + 1; i < job->window && next < count; next++, i++)
        trial_left[next] += lost * shares[i];
    }
    vec16i wins = loss < least;
    least = choose(wins, loss, least);
    best = choose(wins, tried, best);
  }
  return best;
}

static double quantize_table_rows(const struct grist_table_rows *job) {
  struct code_values values;
  for (int i = 0; i < 16; i++) values.values[i] = job->table[i];
  for (int i = 0; i < 15; i++) values.middles[i] = (values.values[i] + values.values[i + 1]) / 2;
  size_t rows = job->rows, columns = job->columns, group_size = job->group_size, window = job->window;
  size_t padded = padded_columns(columns), groups = (columns + group_size - 1) / group_size;
  bool tiled = job->tile_rows != 1;
  double total = 0;
  for (size_t start = job->first; start < job->end; start += GRIST_MAX_GROUP) {
    /* Whole groups and whole windows alike. */
    size_t count = job->end - start < GRIST_MAX_GROUP ? job->end - start : GRIST_MAX_GROUP;
    vec16 given[GRIST_MAX_GROUP], left[GRIST_MAX_GROUP], indices[GRIST_MAX_GROUP];
    load_columns(job->weights, rows, columns, start, count, job->prescale, given);
    memcpy(left, given, sizeof left);
    if (job->carried != NULL) {
      vec16 carried[GRIST_MAX_GROUP];
      load_columns(job->carried, rows, GRIST_MAX_GROUP, 0, count, 1, carried);
      for (size_t k = 0; k < count; k++) left[k] += carried[k];
    }
    float importance[GRIST_MAX_GROUP];
    for (size_t k = 0; k < count; k++) importance[k] = job->importance != NULL ? job->importance[start + k] : 1;
    vec16 scale = {0}, inverse = {0}, error = {0};
    for (size_t k = 0; k < count; k++) {
      if (k % group_size == 0) {
        size_t size = count - k < group_size ? count - k : group_size;
        vec16 exact = table_scales(left + k, importance + k, size, &values);
        if (job->coefficients != NULL)
          exact = scales_with_feedback(job, given, left, importance, start, k, size, &values, exact);
        vec16u bits = half_scales(exact);
        scale = scales_from_half(bits);
        inverse = inverse_scales(scale);
        size_t group = (start + k) / group_size;
        uint16_t group_scales[16];
        memcpy(group_scales, &bits, sizeof bits);
        for (size_t row = 0; row < (tiled ? 16 : rows); row++)
          job->scales[tiled ? group * 16 + row : row * groups + group] = group_scales[row];
      }
      struct nearest nearest = nearest16(left[k] * inverse, &values);
      /* Where nothing is left of a group its codes are those nearest to zero, times a scale of zero. */
      indices[k] = nearest.index;
      vec16 lost = given[k] - nearest.value * scale;
      error += lost * lost;
      if (job->lost != NULL) {
        float values_lost[16];
        store16(values_lost, lost);
        for (size_t row = 0; row < rows; row++) job->lost[row * columns + start + k] = values_lost[row];
      }
      if (job->coefficients != NULL) {
        const float *shares = job->coefficients + (start + k) * window;
        for (size_t next = k + 1, i = (start + k) % window + 1; i < window && next < count; next++, i++)
          left[next] += lost * shares[i];
      }
    }
    for (size_t row = 0; row < rows; row++) total += (double)error[row] / ((double)job->prescale * job->prescale);
    for (size_t k = count; k < padded_columns(count); k++) indices[k] = broadcast(8);
    for (size_t k = 0; k < count; k += GRIST_BLOCK_COLUMNS) {
      vec16i block = four_columns(indices + k, 0, 15) | four_columns(indices + k + 4, 0, 15) << 4;
      /* Missing rows are codes of 8, like the columns that fill the last block. */
      for (size_t row = rows; row < 16; row++) block[row] = (int32_t)0x88888888;
      size_t word = (start + k) / GRIST_BLOCK_COLUMNS;
      if (tiled)
        memcpy(job->codes + word * 64, &block, 64);
      else
        for (size_t row = 0; row < rows; row++) {
          int32_t bytes = block[row];
          memcpy(job->codes + row * padded / 2 + word * 4, &bytes, 4);
        }
    }
  }
  return total;
}

#endif
