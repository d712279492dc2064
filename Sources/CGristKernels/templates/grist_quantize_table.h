/* Quantization to codes that index a table, sixteen rows at a time, with error feedback where the inputs' second moments
   are known. Included by grist_template.h after grist_quantize.h, so once for each instruction set.

   As there, a handful of trial scales gives codes, each code set its best scale, and the winner leaves the least (weighted)
   squared error. The trials put the weight of greatest magnitude on either end of the table and a little around it.

   Error feedback (Frantar et al. 2022, "GPTQ", in the form of Chee et al. 2023, "QuIP"): columns are rounded one after the other,
   and what one loses is added to the columns of its window still to come, in the proportions of the unit upper triangular factor of
   the inputs' second moments. */
#ifndef GRIST_QUANTIZE_TABLE_H
#define GRIST_QUANTIZE_TABLE_H

#include "templates/grist_code_values.h"
#include "templates/grist_quantize.h"

#pragma clang fp contract(off)

enum { kTableTrials = 9, kUnweighedFrom = 3, kSettlings = 2 };

/* How an instruction set looks up the nearest value, if it does. */
#ifdef GRIST_NEAREST
#include GRIST_NEAREST
#endif

/* The table's value that is nearest to x, and its index as a float. With `in_buckets` that suffice, and an instruction set
   that looks up in them. A constant: columns are worked on side by side where there is no branch between them. */
GRIST_INLINE struct nearest nearest16(vec16 x, const struct code_values *table, bool in_buckets) {
#ifdef GRIST_NEAREST
  if (in_buckets) {
    struct nearest result;
    x *= GRIST_NEAREST_UNIT * table->unit;
    nearest_in_buckets(&x, table, true, &result.value, &result.index, 1);
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

/* The values nearest to `weights`, two of them, times each of `factors`, two of them: each weight's two beside each other.
   Without `may_leave` no product is as great as what the buckets hold. */
GRIST_INLINE void nearest_of_four(
    const vec16 weights[2], const vec16 factors[2], const struct code_values *table, bool in_buckets, bool may_leave,
    vec16 values[4]) {
  vec16 x[4];
#ifdef GRIST_NEAREST
  if (in_buckets) {
    /* A power of two is exact, before or after. */
    float unit = GRIST_NEAREST_UNIT * table->unit;
    vec16 scaled[2] = {factors[0] * unit, factors[1] * unit};
    for (int i = 0; i < 4; i++) x[i] = weights[i / 2] * scaled[i % 2];
    return nearest_in_buckets(x, table, may_leave, values, NULL, 4);
  }
#endif
  (void)may_leave;
  for (int i = 0; i < 4; i++) {
    x[i] = weights[i / 2] * factors[i % 2];
    values[i] = nearest16(x[i], table, in_buckets).value;
  }
}

GRIST_INLINE void add_to_fit(struct fit *fit, vec16 weight, vec16 value, const float *importance) {
  vec16 weighed = importance != NULL ? value * *importance : value;
  fit->cross += weight * weighed;
  if (importance != NULL) {
    fit->square += value * weighed;
  } else {
    /* A group's squares of whole numbers below 128 stay below 2^24: one rounding or two, there is nothing to round. */
#pragma clang fp contract(fast)
    fit->square += value * value;
  }
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

/* The fits of a group to the codes that two trials give it; `may_leave` as above. */
GRIST_INLINE void fit_two(
    const vec16 *weights, const float *importance, size_t count, const vec16 factors[2], const struct code_values *table,
    bool in_buckets, bool may_leave, struct fit fits[2]) {
  struct fit a = {{0}, {0}}, b = {{0}, {0}};
  size_t k = 0;
  for (; k + 2 <= count; k += 2) {
    vec16 values[4];
    nearest_of_four(weights + k, factors, table, in_buckets, may_leave, values);
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
  fits[0] = a;
  fits[1] = b;
}

/* The scale of one group for sixteen rows, each column for itself. `importance`, if any, weighs the columns' squares.

   Scales from 0.72 to 1.12 of what puts the extreme on either end of the table are tried. To cut off more than an eighth of the
   greatest weight pays only where columns weigh differently: else it was best for one group in a thousand. */
GRIST_INLINE vec16 table_scales(
    const vec16 *weights, const float *importance, size_t count, const struct code_values *table, bool in_buckets) {
  vec16 extreme = extremes(weights, count);
  vec16i zero = extreme == 0.0f;
  vec16 per_extreme = choose(zero, splat16(0), 1.0f / extreme);
  float low = table->values[0], high = table->values[15], most = table->greatest * table->unit;
  struct fit bests[2] = {{splat16(0), splat16(1)}, {splat16(0), splat16(1)}};
  for (int trial = importance != NULL ? 0 : kUnweighedFrom; trial < kTableTrials; trial++) {
    float part = 0.72f + 0.05f * (float)trial;
    vec16 factors[2] = {per_extreme * (low / part), per_extreme * (high / part)};
    struct fit fits[2];
    /* Rounding adds less than a tenth. */
    if (most / part < kBucketsEnd - 0.1f)
      fit_two(weights, importance, count, factors, table, in_buckets, false, fits);
    else
      fit_two(weights, importance, count, factors, table, in_buckets, true, fits);
    for (int i = 0; i < 2; i++) bests[i] = better(bests[i], fits[i]);
  }
  /* Of equals the first tried: those at the low end. */
  struct fit best = better(bests[0], bests[1]);
  return choose(zero, splat16(0), best.cross / best.square);
}

/* The columns that are worked on: `count` from the job's `start` on, which begins a group and a window. */
struct table_columns {
  size_t start, count;
  float importance[GRIST_MAX_GROUP]; /* set where it is given, or there is error feedback */
  /* All times prescale: the weights, what they ask for after what other columns lost, and how much of that is missed. */
  vec16 given[GRIST_MAX_GROUP], left[GRIST_MAX_GROUP], missed[GRIST_MAX_GROUP];
  /* What is stored: the table's values and their indices, and the scale of each column's group. */
  vec16 values[GRIST_MAX_GROUP], indices[GRIST_MAX_GROUP], scales[GRIST_MAX_GROUP];
};

/* Where the window of column `k` ends. */
GRIST_INLINE size_t window_end(const struct grist_table_rows *job, const struct table_columns *columns, size_t k) {
  size_t end = k - k % job->window + job->window;
  return end < columns->count ? end : columns->count;
}

/* What the columns after `k` in its window get of its loss: that of column `next` is shares[next]. */
GRIST_INLINE const float *shares_of(const struct grist_table_rows *job, const struct table_columns *columns, size_t k) {
  return job->coefficients + (columns->start + k) * job->window - (k - k % job->window);
}

GRIST_INLINE void load_table_columns(const struct grist_table_rows *job, struct table_columns *columns) {
  size_t start = columns->start, count = columns->count;
  load_columns(job->weights, job->rows, job->columns, start, count, job->prescale, columns->given);
  memcpy(columns->left, columns->given, count * sizeof *columns->left);
  if (job->carried != NULL) {
    vec16 carried[GRIST_MAX_GROUP];
    load_columns(job->carried, job->rows, GRIST_MAX_GROUP, 0, count, 1, carried);
    for (size_t k = 0; k < count; k++) columns->left[k] += carried[k];
  }
  if (job->importance != NULL)
    memcpy(columns->importance, job->importance + start, count * sizeof *columns->importance);
  else if (job->coefficients != NULL)
    for (size_t k = 0; k < count; k++) columns->importance[k] = 1;
}

/* The scale near `scale` that leaves least of a group with error feedback. */
GRIST_INLINE vec16 scales_with_feedback(
    const struct grist_table_rows *job, const struct table_columns *columns, size_t first, size_t size,
    const struct code_values *table, bool in_buckets, vec16 scale) {
  static const float factors[] = {1, 0.9f, 0.95f, 1.05f};
  vec16 least = splat16(FLT_MAX), best = scale;
  for (size_t trial = 0; trial < sizeof factors / sizeof *factors; trial++) {
    vec16 tried = scales_from_half(half_scales(scale * factors[trial])), inverse = inverse_scales(tried), loss = {0};
    vec16 left[GRIST_MAX_GROUP];
    memcpy(left + first, columns->left + first, size * sizeof *left);
    for (size_t k = first; k < first + size; k++) {
      vec16 stored = nearest16(left[k] * inverse, table, in_buckets).value * tried, missed = left[k] - stored;
      vec16 lost = columns->given[k] - stored;
      loss += missed * missed * columns->importance[k];
      const float *shares = shares_of(job, columns, k);
      size_t end = window_end(job, columns, k);
      for (size_t next = k + 1; next < end && next < first + size; next++) left[next] += lost * shares[next];
    }
    vec16i wins = loss < least;
    least = choose(wins, loss, least);
    best = choose(wins, tried, best);
  }
  return best;
}

/* A group's scale, from what its columns ask for before any of them is rounded. */
GRIST_INLINE vec16 scales_of_group(
    const struct grist_table_rows *job, const struct table_columns *columns, size_t first, size_t size,
    const struct code_values *table, bool in_buckets) {
  const vec16 *left = columns->left + first;
  vec16 exact = job->importance != NULL ? table_scales(left, columns->importance + first, size, table, in_buckets)
                                        : table_scales(left, NULL, size, table, in_buckets);
  if (job->coefficients != NULL)
    exact = scales_with_feedback(job, columns, first, size, table, in_buckets, exact);
  return scales_from_half(half_scales(exact));
}

/* Rounds one column after the other, with feedback of each error. */
GRIST_INLINE void round_columns(
    const struct grist_table_rows *job, const struct code_values *table, bool in_buckets, struct table_columns *columns) {
  size_t count = columns->count;
  vec16 scale = {0}, inverse = {0};
  for (size_t k = 0; k < count; k++) {
    if (k % job->group_size == 0) {
      size_t size = count - k < job->group_size ? count - k : job->group_size;
      scale = scales_of_group(job, columns, k, size, table, in_buckets);
      inverse = inverse_scales(scale);
    }
    /* Where nothing is left of a group its codes are those nearest to zero, times a scale of zero. */
    struct nearest nearest = nearest16(columns->left[k] * inverse, table, in_buckets);
    columns->values[k] = nearest.value;
    columns->indices[k] = nearest.index;
    columns->scales[k] = scale;
    columns->missed[k] = columns->left[k] - nearest.value * scale;
    if (job->coefficients == NULL) continue;
    vec16 lost = columns->given[k] - nearest.value * scale;
    const float *shares = shares_of(job, columns, k);
    size_t end = window_end(job, columns, k);
    for (size_t next = k + 1; next < end; next++) columns->left[next] += lost * shares[next];
  }
}

/* Gives each group the scale that leaves least of its codes, which change what all columns after them in their window miss. */
GRIST_INLINE void refit_scales(const struct grist_table_rows *job, struct table_columns *columns) {
  for (size_t first = 0; first < columns->count; first += job->group_size) {
    size_t size = columns->count - first < job->group_size ? columns->count - first : job->group_size;
    size_t last = window_end(job, columns, first + size - 1);
    vec16 effects[GRIST_MAX_GROUP]; /* of a scale greater by one */
    for (size_t k = first; k < last; k++) effects[k] = k < first + size ? columns->values[k] : splat16(0);
    for (size_t k = first; k < first + size; k++) {
      const float *shares = shares_of(job, columns, k);
      size_t end = window_end(job, columns, k);
      for (size_t next = k + 1; next < end; next++) effects[next] += columns->values[k] * shares[next];
    }
    struct fit fit = {{0}, {0}};
    for (size_t k = first; k < last; k++) add_to_fit(&fit, columns->missed[k], effects[k], columns->importance + k);
    vec16 scale = columns->scales[first];
    vec16 fitted = scale + choose(fit.square == 0.0f, splat16(0), fit.cross / fit.square);
    fitted = scales_from_half(half_scales(fitted));
    /* A scale of zero stays, and none becomes zero. */
    fitted = choose((scale == 0.0f) | (fitted == 0.0f), scale, fitted);
    vec16 change = fitted - scale;
    for (size_t k = first; k < last; k++) columns->missed[k] -= change * effects[k];
    for (size_t k = first; k < first + size; k++) columns->scales[k] = fitted;
  }
}

/* Takes each column once more, all others as they are, and gives it the code that leaves least. */
GRIST_INLINE void round_again(
    const struct grist_table_rows *job, const struct code_values *table, bool in_buckets, struct table_columns *columns) {
  vec16 *missed = columns->missed;
  for (size_t k = 0; k < columns->count; k++) {
    const float *shares = shares_of(job, columns, k);
    size_t end = window_end(job, columns, k);
    float curvature = columns->importance[k];
    vec16 slope = missed[k] * curvature;
    for (size_t next = k + 1; next < end; next++) {
      float weighed = columns->importance[next] * shares[next];
      slope += missed[next] * weighed;
      curvature += shares[next] * weighed;
    }
    vec16 scale = columns->scales[k], stored = columns->values[k] * scale;
    struct nearest nearest = nearest16((stored + slope / curvature) * inverse_scales(scale), table, in_buckets);
    vec16 change = nearest.value * scale - stored;
    columns->values[k] = nearest.value;
    columns->indices[k] = nearest.index;
    missed[k] -= change;
    for (size_t next = k + 1; next < end; next++) missed[next] -= change * shares[next];
  }
}

GRIST_INLINE void store_scales(const struct grist_table_rows *job, const struct table_columns *columns) {
  size_t groups = (job->columns + job->group_size - 1) / job->group_size;
  for (size_t k = 0; k < columns->count; k += job->group_size) {
    size_t group = (columns->start + k) / job->group_size;
    vec16u bits = half_scales(columns->scales[k]);
    uint16_t scales[16];
    memcpy(scales, &bits, sizeof bits);
    if (job->tile_rows != 1)
      memcpy(job->scales + group * 16, scales, sizeof scales);
    else
      for (size_t row = 0; row < job->rows; row++) job->scales[row * groups + group] = scales[row];
  }
}

/* Pads the last block of columns, too. */
GRIST_INLINE void store_codes(const struct grist_table_rows *job, struct table_columns *columns) {
  size_t row_bytes = padded_columns(job->columns) / 2;
  for (size_t k = columns->count; k < padded_columns(columns->count); k++) columns->indices[k] = splat16(8);
  vec16 missing = {0};
  for (size_t row = job->rows; row < 16; row++) missing[row] = 1;
  for (size_t k = 0; k < padded_columns(columns->count); k++) {
    vec16 index = columns->indices[k];
    columns->indices[k] = index + missing * (8 - index);
  }
  for (size_t k = 0; k < columns->count; k += GRIST_BLOCK_COLUMNS)
    store_block(
        columns->indices + k, (columns->start + k) / GRIST_BLOCK_COLUMNS, 4, 0, job->rows, job->tile_rows, row_bytes,
        job->codes);
}

/* Notes what each column lost, where it is asked for. Returns the sum of its squares, of the weights as they came. */
GRIST_INLINE double store_losses(const struct grist_table_rows *job, const struct table_columns *columns) {
  vec16 squares = {0};
  for (size_t k = 0; k < columns->count; k++) {
    vec16 lost = columns->given[k] - columns->values[k] * columns->scales[k];
    squares += lost * lost;
    if (job->lost == NULL) continue;
    float values[16];
    store16(values, lost);
    for (size_t row = 0; row < job->rows; row++) job->lost[row * job->columns + columns->start + k] = values[row];
  }
  double total = 0;
  for (size_t row = 0; row < job->rows; row++) {
    double error = (double)squares[row] / ((double)job->prescale * job->prescale);
    total += error;
    if (job->row_errors != NULL) job->row_errors[row] += error;
  }
  return total;
}

GRIST_INLINE double quantize_by_table(
    const struct grist_table_rows *job, const struct code_values *table, bool in_buckets) {
  double total = 0;
  struct table_columns columns;
  for (size_t start = job->first; start < job->end; start += GRIST_MAX_GROUP) {
    /* Whole groups and whole windows alike. */
    columns.start = start;
    columns.count = job->end - start < GRIST_MAX_GROUP ? job->end - start : GRIST_MAX_GROUP;
    load_table_columns(job, &columns);
    round_columns(job, table, in_buckets, &columns);
    for (int time = 0; time < kSettlings && job->coefficients != NULL; time++) {
      refit_scales(job, &columns);
      round_again(job, table, in_buckets, &columns);
    }
    total += store_losses(job, &columns);
    store_scales(job, &columns);
    store_codes(job, &columns);
  }
  return total;
}

static double quantize_table_rows(const struct grist_table_rows *job) {
  struct code_values table = code_values_of(job->table);
#ifdef GRIST_NEAREST
  if (table.buckets_suffice) return quantize_by_table(job, &table, true);
#endif
  return quantize_by_table(job, &table, false);
}

#endif
