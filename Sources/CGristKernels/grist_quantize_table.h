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

/* What codes stand for. Bucket b holds the numbers from 8b to 8(b + 1), b from -16 to 15, and stands at b modulo 32. */
enum { kBuckets = 32, kBucketWidth = 8 };

struct code_values {
  float values[16], middles[15];
  /* Of each bucket the index of the value nearest to its least numbers, and an eighth of the middle where the next one
     begins, or infinity. */
  int32_t bucket_indices[kBuckets];
  float bucket_middles[kBuckets];
  bool buckets_suffice; /* none of them holds two middles */
};

static struct code_values code_values_of(const int8_t *table) {
  struct code_values result = {.buckets_suffice = true};
  for (int i = 0; i < 16; i++) result.values[i] = table[i];
  for (int i = 0; i < 15; i++) result.middles[i] = (result.values[i] + result.values[i + 1]) / 2;
  for (int bucket = -kBuckets / 2, i = 0; bucket < kBuckets / 2; bucket++) {
    float end = (float)((bucket + 1) * kBucketWidth);
    result.bucket_indices[bucket & (kBuckets - 1)] = i;
    result.bucket_middles[bucket & (kBuckets - 1)] = i < 15 ? result.middles[i] / kBucketWidth : INFINITY;
    if (i < 15 && result.middles[i] < end) i++;
    if (i < 15 && result.middles[i] < end) result.buckets_suffice = false;
  }
  return result;
}

struct nearest {
  vec16 value, index;
};

#ifdef GRIST_LOOKS_UP_NEAREST
#include "grist_nearest_avx512.h"
#endif

/* The table's value that is nearest to x, and its index as a float. With `in_buckets` that suffice, and an instruction set
   that looks up in them. A constant: columns are worked on side by side where there is no branch between them. */
GRIST_INLINE struct nearest nearest16(vec16 x, const struct code_values *table, bool in_buckets) {
#ifdef GRIST_LOOKS_UP_NEAREST
  if (in_buckets) {
    struct nearest result;
    x *= 1.0f / kBucketWidth;
    nearest_in_buckets(&x, table, &result.value, &result.index, 1);
    return result;
  }
#else
  (void)in_buckets;
#endif
  vec16 value = splat16(table->values[0]), index = {0};
  for (int i = 0; i < 15; i++) {
    vec16i above = x > table->middles[i];
    value = choose(above, splat16(table->values[i + 1]), value);
    index += choose(above, splat16(1), splat16(0));
  }
  return (struct nearest){value, index};
}

/* The values nearest to `weights`, two of them, times each of `factors`, two of them: each weight's two beside each other. */
GRIST_INLINE void nearest_of_four(
    const vec16 weights[2], const vec16 factors[2], const struct code_values *table, bool in_buckets, vec16 values[4]) {
  vec16 x[4];
#ifdef GRIST_LOOKS_UP_NEAREST
  if (in_buckets) {
    /* An eighth is exact, before or after. */
    vec16 eighths[2] = {factors[0] * (1.0f / kBucketWidth), factors[1] * (1.0f / kBucketWidth)};
    for (int i = 0; i < 4; i++) x[i] = weights[i / 2] * eighths[i % 2];
    return nearest_in_buckets(x, table, values, NULL, 4);
  }
#endif
  for (int i = 0; i < 4; i++) {
    x[i] = weights[i / 2] * factors[i % 2];
    values[i] = nearest16(x[i], table, in_buckets).value;
  }
}

GRIST_INLINE void add_to_fit(struct fit *fit, vec16 weight, vec16 value, const float *importance) {
  vec16 weighed = importance != NULL ? value * *importance : value;
  fit->cross += weight * weighed;
  fit->square += value * weighed;
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

GRIST_INLINE vec16 inverse_scales(vec16 scale) { return choose(scale == 0.0f, splat16(0), 1.0f / scale); }

/* The scale of one group for sixteen rows, each column for itself. `importance`, if any, weighs the columns' squares. */
GRIST_INLINE vec16 table_scales(
    const vec16 *weights, const float *importance, size_t count, const struct code_values *table, bool in_buckets) {
  vec16 extreme = extremes(weights, count);
  vec16i zero = extreme == 0.0f;
  vec16 per_extreme = choose(zero, splat16(0), 1.0f / extreme);
  struct fit bests[2] = {{splat16(0), splat16(1)}, {splat16(0), splat16(1)}};
  for (int trial = 0; trial < kTableTrials; trial++) {
    /* Scales from 0.72 to 1.12 of what puts the extreme on either end of the table; two at a time, as in best_fit. */
    float part = 0.72f + 0.05f * (float)trial;
    vec16 factors[2] = {per_extreme * (table->values[0] / part), per_extreme * (table->values[15] / part)};
    struct fit a = {{0}, {0}}, b = {{0}, {0}};
    size_t k = 0;
    for (; k + 2 <= count; k += 2) {
      vec16 values[4];
      nearest_of_four(weights + k, factors, table, in_buckets, values);
      for (size_t i = 0; i < 2; i++) {
        const float *weighs = importance != NULL ? importance + k + i : NULL;
        add_to_fit(&a, weights[k + i], values[2 * i], weighs);
        add_to_fit(&b, weights[k + i], values[2 * i + 1], weighs);
      }
    }
    for (; k < count; k++) {
      const float *weighs = importance != NULL ? importance + k : NULL;
      add_to_fit(&a, weights[k], nearest16(weights[k] * factors[0], table, in_buckets).value, weighs);
      add_to_fit(&b, weights[k], nearest16(weights[k] * factors[1], table, in_buckets).value, weighs);
    }
    bests[0] = better(bests[0], a);
    bests[1] = better(bests[1], b);
  }
  /* Of equals the first tried: those at the low end. */
  struct fit best = better(bests[0], bests[1]);
  return choose(zero, splat16(0), best.cross / best.square);
}

/* The scale near `scale` that leaves least when losses are fed on. Columns `first` to `first + count` of `left` and `given`, which
   begin with the job's column `start`. */
GRIST_INLINE vec16 scales_with_feedback(
    const struct grist_table_rows *job, const vec16 *given, const vec16 *left, const float *importance, size_t start, size_t first,
    size_t count, const struct code_values *table, bool in_buckets, vec16 scale) {
  static const float factors[] = {1, 0.86f, 0.9f, 0.94f, 0.97f, 1.03f, 1.06f, 1.1f};
  vec16 least = splat16(FLT_MAX), best = scale;
  for (size_t trial = 0; trial < sizeof factors / sizeof *factors; trial++) {
    vec16 tried = scales_from_half(half_scales(scale * factors[trial])), inverse = inverse_scales(tried), loss = {0};
    vec16 trial_left[GRIST_MAX_GROUP];
    memcpy(trial_left, left + first, count * sizeof *left);
    for (size_t k = 0; k < count; k++) {
      vec16 stored = nearest16(trial_left[k] * inverse, table, in_buckets).value * tried, missed = trial_left[k] - stored;
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

GRIST_INLINE double quantize_by_table(
    const struct grist_table_rows *job, const struct code_values *table, bool in_buckets) {
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
    if (job->importance != NULL)
      memcpy(importance, job->importance + start, count * sizeof *importance);
    else
      for (size_t k = 0; k < count; k++) importance[k] = 1;
    vec16 scale = {0}, inverse = {0}, error = {0};
    for (size_t k = 0; k < count; k++) {
      if (k % group_size == 0) {
        size_t size = count - k < group_size ? count - k : group_size;
        vec16 exact = job->importance != NULL ? table_scales(left + k, importance + k, size, table, in_buckets)
                                              : table_scales(left + k, NULL, size, table, in_buckets);
        if (job->coefficients != NULL)
          exact = scales_with_feedback(job, given, left, importance, start, k, size, table, in_buckets, exact);
        vec16u bits = half_scales(exact);
        scale = scales_from_half(bits);
        inverse = inverse_scales(scale);
        size_t group = (start + k) / group_size;
        uint16_t group_scales[16];
        memcpy(group_scales, &bits, sizeof bits);
        for (size_t row = 0; row < (tiled ? 16 : rows); row++)
          job->scales[tiled ? group * 16 + row : row * groups + group] = group_scales[row];
      }
      struct nearest nearest = nearest16(left[k] * inverse, table, in_buckets);
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
    for (size_t k = count; k < padded_columns(count); k++) indices[k] = splat16(8);
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

static double quantize_table_rows(const struct grist_table_rows *job) {
  struct code_values table = code_values_of(job->table);
#ifdef GRIST_LOOKS_UP_NEAREST
  if (table.buckets_suffice) return quantize_by_table(job, &table, true);
#endif
  return quantize_by_table(job, &table, false);
}

#endif
