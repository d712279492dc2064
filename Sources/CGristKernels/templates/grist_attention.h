/* Attention of one head: softmax(q·kᵀ·scale)·v. Included by grist_template.h, so once for each instruction set, and once
   more for products of bf16 (grist_cells.h); sums and softmax are f32.

   Many queries: blocks of queries meet blocks of keys, each block turned into panels that stay in the first- and
   second-level cache, and the softmax is kept up as blocks come (Milakov & Gimelshein 2018; Dao et al. 2022), so that
   no row of scores is ever as long as the context. Few queries: two plain passes over keys and values as they lie,
   which read the cache once at the speed of memory. */
#ifndef GRIST_ATTENTION_H
#define GRIST_ATTENTION_H

#include "templates/grist_cells.h"
#include "templates/grist_halves.h"
#include "templates/grist_rows.h"

enum {
  /* Queries in a block at most, keys in a block; a panel's columns. */
  kQueryBlock = 192, /* so many share the cost of making panels */
  kKeyBlock = 128,
  kPanel = 32,
  /* Up to this many queries, or keys, take the plain passes. */
  kFewQueries = 4,
  kFewKeys = 16,
};

/* Rows of a register tile, a divisor of the query block: rows x 2 vectors of sums, and two of a panel, fit the
   registers. */
#ifndef GRIST_ATTENTION_ROWS
#define GRIST_ATTENTION_ROWS 2
#endif

typedef int8_t vec16b __attribute__((vector_size(16)));

/* Sixteen values of a key or value from `column` on, zeros beyond the dimension; codes without their scale. */
GRIST_INLINE vec16 load_row16(
    const grist_attention *a, const void *rows, size_t row, size_t column, enum grist_kept kept) {
  size_t at = row * a->key_stride + column;
  if (column + 16 <= a->dimension) {
    if (kept == GRIST_KEPT_HALF) return load_half16((const uint16_t *)rows + at);
    if (kept == GRIST_KEPT_FLOAT) return load16((const float *)rows + at);
    vec16b codes;
    memcpy(&codes, (const int8_t *)rows + at, sizeof codes);
    return __builtin_convertvector(codes, vec16);
  }
  vec16 v = {0};
  for (size_t i = 0; column + i < a->dimension; i++)
    v[i] = kept == GRIST_KEPT_HALF    ? half_bits_to_float(((const uint16_t *)rows)[at + i])
           : kept == GRIST_KEPT_FLOAT ? ((const float *)rows)[at + i]
                                      : ((const int8_t *)rows)[at + i];
  return v;
}

/* What a row's values are to be multiplied by. */
GRIST_INLINE float row_scale(const float *scales, size_t row, enum grist_kept kept) {
  return kept == GRIST_KEPT_CODES ? scales[row] : 1;
}

static inline size_t seen_by(const grist_attention *a, size_t query) {
  size_t seen = a->first_seen + query * a->seen_step;
  return seen < a->length ? seen : a->length;
}

/* How many keys before those that a query sees are hidden from it. */
static inline size_t hidden_from(const grist_attention *a, size_t query) {
  size_t seen = seen_by(a, query);
  return a->window == 0 || seen < a->window ? 0 : seen - a->window;
}

static inline size_t rounded_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/* sums[r][c] += a[r][k] * panel[k][c] for GRIST_ATTENTION_ROWS rows and one panel's columns; k counts cells. */
GRIST_INLINE void multiply_panel(
    const float *a, size_t a_stride, const float *panel, size_t inner, vec16 sums[GRIST_ATTENTION_ROWS][2]) {
  for (size_t k = 0; k < inner; k++) {
    vec16 low = load16(panel + k * kPanel), high = load16(panel + k * kPanel + 16);
#pragma clang loop unroll(full)
    for (int r = 0; r < GRIST_ATTENTION_ROWS; r++) {
      vec16 x = splat16(a[(size_t)r * a_stride + k]);
      sums[r][0] = multiply_cells(sums[r][0], x, low);
      sums[r][1] = multiply_cells(sums[r][1], x, high);
    }
  }
}

/* Keys of one block as panels of 32 keys: panel[columns' cell][key]. Keys that fill the last panel are zero. */
GRIST_INLINE void pack_keys(
    const grist_attention *a, size_t first, size_t count, size_t width, float *panels, enum grist_kept kept) {
  for (size_t key = 0; key < rounded_up(count, kPanel); key += 16) {
    float *panel = panels + key / kPanel * kPanel * cells(width) + key % kPanel;
    for (size_t column = 0; column < width; column += 16 * kPerCell) {
      vec16 rows[16];
      for (size_t i = 0; i < 16; i++) {
        size_t row = first + key + i;
        vec16 v[kPerCell];
        for (size_t part = 0; part < kPerCell; part++) {
          v[part] = key + i < count ? load_row16(a, a->keys, row, column + 16 * part, kept) : (vec16){0};
          if (kept == GRIST_KEPT_CODES && key + i < count) v[part] *= a->key_scales[row];
        }
        rows[i] = join_along(v);
      }
      transpose16(rows);
      for (size_t i = 0; i < 16; i++) store16(panel + (column / kPerCell + i) * kPanel, rows[i]);
    }
  }
}

/* Values of one block as panels of 32 columns: panel[keys' cell][column]. */
GRIST_INLINE void pack_values(
    const grist_attention *a, size_t first, size_t count, size_t width, float *panels, enum grist_kept kept) {
  for (size_t key = 0; key < count; key += kPerCell)
    for (size_t column = 0; column < width; column += 16) {
      vec16 v[kPerCell];
      for (size_t part = 0; part < kPerCell; part++) {
        size_t row = first + key + part;
        v[part] = key + part < count ? load_row16(a, a->values, row, column, kept) : (vec16){0};
        if (kept == GRIST_KEPT_CODES && key + part < count) v[part] *= a->value_scales[row];
      }
      float *panel = panels + column / kPanel * kPanel * cells(kKeyBlock);
      store16(panel + key / kPerCell * kPanel + column % kPanel, join_across(v));
    }
}

struct softmax_row {
  float greatest;
  vec16 sum; /* in sixteen parts */
};

/* Turns a row's `count` scores of one block, whole panels of them, of which it sees those from `hidden` to `seen`, into
   cells of weights relative to the greatest so far; returns what the row's earlier output has to be multiplied with.

   A row that has seen no key yet gives every hidden one a weight of 1; its first key takes all of that back, with a factor
   of 0. */
GRIST_INLINE float update_softmax(float *scores, size_t hidden, size_t seen, size_t count, struct softmax_row *row) {
  vec16 peak = splat16(row->greatest);
  for (size_t i = 0; i < hidden; i++) scores[i] = -1e30f;
  for (size_t i = seen; i < count; i++) scores[i] = -1e30f;
  for (size_t i = 0; i < count; i += 16) {
    vec16 v = load16(scores + i);
    peak = choose(v > peak, v, peak);
  }
  float greatest = greatest16(peak);
  float factor = greatest == row->greatest ? 1 : exp16(splat16(row->greatest - greatest))[0];
  vec16 total = row->sum * factor;
  for (size_t i = 0; i < count; i += 16 * kPerCell) {
    vec16 weights[kPerCell];
    for (size_t part = 0; part < kPerCell; part++) {
      weights[part] = weight16(load16(scores + i + 16 * part), greatest);
      total += weights[part];
    }
    store16(scores + i / kPerCell, join_along(weights));
  }
  row->greatest = greatest;
  row->sum = total;
  return factor;
}

/* A block of queries, and where what it needs lies in the scratch. */
struct query_block {
  size_t width;                     /* the dimension, in whole panels */
  float *queries;                   /* [kQueryBlock][cells(width)] */
  float *key_panels, *value_panels; /* of one block of keys */
  float *output;                    /* [kQueryBlock][width], not yet divided by the weights' sum */
  float *scores;                    /* [GRIST_ATTENTION_ROWS][kKeyBlock] */
  struct softmax_row softmax[kQueryBlock];
};

static inline struct query_block query_block_in(float *scratch, size_t width) {
  struct query_block b = {.width = width, .queries = scratch};
  b.key_panels = b.queries + kQueryBlock * cells(width);
  b.value_panels = b.key_panels + kKeyBlock * cells(width);
  b.output = b.value_panels + cells(kKeyBlock) * width;
  b.scores = b.output + kQueryBlock * width;
  return b;
}

GRIST_INLINE void pack_block(
    const grist_attention *a, size_t first, size_t count, struct query_block *b, enum grist_kept kept) {
  pack_keys(a, first, count, b->width, b->key_panels, kept);
  pack_values(a, first, count, b->width, b->value_panels, kept);
}

/* Takes up `count` queries from `start` on; rows that fill the last tile are zero. */
GRIST_INLINE void begin_queries(const grist_attention *a, size_t start, size_t count, struct query_block *b) {
  size_t rows = rounded_up(count, GRIST_ATTENTION_ROWS);
  for (size_t row = 0; row < rows; row++) {
    b->softmax[row] = (struct softmax_row){-1e30f, {0}};
    const float *from = a->queries + (start + row) * a->query_stride;
    for (size_t column = 0; column < b->width; column += 16 * kPerCell) {
      vec16 v[kPerCell];
      for (size_t part = 0; part < kPerCell; part++) {
        size_t at = column + 16 * part, there = row >= count || at >= a->dimension ? 0 : a->dimension - at;
        v[part] = there == 0 ? (vec16){0} : load_some(from + at, there, 0) * a->scale;
      }
      store16(b->queries + row * cells(b->width) + column / kPerCell, join_along(v));
    }
  }
  memset(b->output, 0, rows * b->width * sizeof *b->output);
}

/* One tile of queries, the rows from `row` on, meets a block of keys: the first key is `first`, and the last row sees `keys`
   of them. */
GRIST_INLINE void meet_keys(
    const grist_attention *a, size_t query, size_t row, size_t first, size_t keys, struct query_block *b) {
  size_t scored = rounded_up(keys, kPanel);
  for (size_t panel = 0; panel < scored; panel += kPanel) {
    vec16 sums[GRIST_ATTENTION_ROWS][2] = {{{0}}};
    multiply_panel(
        b->queries + row * cells(b->width), cells(b->width), b->key_panels + panel * cells(b->width),
        cells(a->dimension), sums);
    for (size_t r = 0; r < GRIST_ATTENTION_ROWS; r++) {
      store16(b->scores + r * kKeyBlock + panel, sums[r][0]);
      store16(b->scores + r * kKeyBlock + panel + 16, sums[r][1]);
    }
  }
  for (size_t r = 0; r < GRIST_ATTENTION_ROWS; r++) {
    size_t seen = seen_by(a, query + r);
    seen = seen > first ? seen - first : 0;
    size_t hidden = hidden_from(a, query + r);
    hidden = hidden < first ? 0 : hidden - first < scored ? hidden - first : scored;
    float factor = update_softmax(b->scores + r * kKeyBlock, hidden, seen, scored, &b->softmax[row + r]);
    if (factor != 1)
      for (size_t i = 0; i < b->width; i++) b->output[(row + r) * b->width + i] *= factor;
  }
  for (size_t panel = 0; panel < b->width; panel += kPanel) {
    float *output = b->output + row * b->width + panel;
    vec16 sums[GRIST_ATTENTION_ROWS][2];
    for (size_t r = 0; r < GRIST_ATTENTION_ROWS; r++) {
      sums[r][0] = load16(output + r * b->width);
      sums[r][1] = load16(output + r * b->width + 16);
    }
    multiply_panel(b->scores, kKeyBlock, b->value_panels + panel * cells(kKeyBlock), cells(keys), sums);
    for (size_t r = 0; r < GRIST_ATTENTION_ROWS; r++) {
      store16(output + r * b->width, sums[r][0]);
      store16(output + r * b->width + 16, sums[r][1]);
    }
  }
}

static void attend_many(const grist_attention *a) {
  struct query_block b = query_block_in(a->scratch, rounded_up(a->dimension, kPanel));
  for (size_t start = 0; start < a->count; start += kQueryBlock) {
    size_t count = a->count - start < kQueryBlock ? a->count - start : kQueryBlock;
    begin_queries(a, start, count, &b);
    size_t visible = seen_by(a, start + count - 1);
    for (size_t first = hidden_from(a, start) / kKeyBlock * kKeyBlock; first < visible; first += kKeyBlock) {
      size_t keys = visible - first < kKeyBlock ? visible - first : kKeyBlock;
      /* Each kind by name, so that the compiler makes a loop of each. */
      if (a->kept == GRIST_KEPT_HALF) pack_block(a, first, keys, &b, GRIST_KEPT_HALF);
      else if (a->kept == GRIST_KEPT_FLOAT) pack_block(a, first, keys, &b, GRIST_KEPT_FLOAT);
      else pack_block(a, first, keys, &b, GRIST_KEPT_CODES);
      for (size_t row = 0; row < count; row += GRIST_ATTENTION_ROWS) {
        size_t seen = seen_by(a, start + row + GRIST_ATTENTION_ROWS - 1);
        if (seen > first && hidden_from(a, start + row) < first + keys)
          meet_keys(a, start + row, row, first, seen - first < keys ? seen - first : keys, &b);
      }
    }
    for (size_t row = 0; row < count; row++) {
      float *out = a->out + (start + row) * a->out_stride;
      float inverse = 1.0f / fold(b.softmax[row].sum);
      for (size_t i = 0; i < a->dimension; i++) out[i] = b.output[row * b.width + i] * inverse;
    }
  }
}

/* How many rows of a head are asked for before they are needed. */
enum { kRowsAhead = 32 };

/* Asks for one row of what a query of `seen` keys needs: these are the rows from 0 on, the values those behind them. A head's
   rows lie by themselves, so that the CPU's own look ahead would begin anew with each. */
GRIST_INLINE void fetch_row(const grist_attention *a, size_t row, size_t seen, enum grist_kept kept) {
  size_t bytes = kept == GRIST_KEPT_HALF ? 2 : kept == GRIST_KEPT_FLOAT ? 4 : 1;
  if (row >= 2 * seen) return;
  const char *from = row < seen ? (const char *)a->keys + row * a->key_stride * bytes
                                : (const char *)a->values + (row - seen) * a->key_stride * bytes;
  for (size_t line = 0; line < a->dimension * bytes; line += 64) __builtin_prefetch(from + line, 0, 3);
}

/* One query: a pass over the keys, softmax, a pass over the values. */
GRIST_INLINE void attend_one(const grist_attention *a, enum grist_kept kept) {
  const float *q = a->queries;
  float *out = a->out, *scores = a->scratch;
  size_t seen = a->first_seen, dimension = a->dimension;
  for (size_t key = 0; key < kRowsAhead; key++) fetch_row(a, key, seen, kept);
  for (size_t key = 0; key < seen; key++) {
    fetch_row(a, key + kRowsAhead, seen, kept);
    vec16 sums[4] = {{0}};
    size_t column = 0;
    for (; column + 64 <= dimension; column += 64)
      for (size_t i = 0; i < 4; i++)
        sums[i] += load16(q + column + 16 * i) * load_row16(a, a->keys, key, column + 16 * i, kept);
    for (; column < dimension; column += 16)
      sums[0] += load_some(q + column, dimension - column, 0) * load_row16(a, a->keys, key, column, kept);
    scores[key] = fold((sums[0] + sums[1]) + (sums[2] + sums[3])) * a->scale * row_scale(a->key_scales, key, kept);
  }
  softmax(scores, seen);
  if (kept == GRIST_KEPT_CODES)
    for (size_t key = 0; key < seen; key++) scores[key] *= a->value_scales[key];
  enum { kStrip = 64 };
  for (size_t column = 0; column < dimension; column += kStrip) {
    vec16 sums[kStrip / 16] = {{0}};
    if (column + kStrip <= dimension) {
      for (size_t key = 0; key < seen; key++) {
        if (column == 0) fetch_row(a, seen + key + kRowsAhead, seen, kept);
        for (size_t i = 0; i < kStrip / 16; i++)
          sums[i] += scores[key] * load_row16(a, a->values, key, column + 16 * i, kept);
      }
    } else {
      for (size_t key = 0; key < seen; key++)
        for (size_t i = 0; column + 16 * i < dimension; i++)
          sums[i] += scores[key] * load_row16(a, a->values, key, column + 16 * i, kept);
    }
    for (size_t i = 0; i < kStrip && column + i < dimension; i++) out[column + i] = sums[i / 16][i % 16];
  }
}

static inline bool is_small(size_t count, size_t length) { return count <= kFewQueries || length <= kFewKeys; }

/* One query on the keys that it sees, without those that are hidden from it. */
static inline grist_attention only_query(const grist_attention *a, size_t query) {
  static const size_t bytes[] = {[GRIST_KEPT_FLOAT] = 4, [GRIST_KEPT_HALF] = 2, [GRIST_KEPT_CODES] = 1};
  size_t hidden = hidden_from(a, query);
  grist_attention one = *a;
  one.queries += query * a->query_stride;
  one.out += query * a->out_stride;
  one.count = 1;
  one.keys = (const char *)a->keys + hidden * a->key_stride * bytes[a->kept];
  one.values = (const char *)a->values + hidden * a->key_stride * bytes[a->kept];
  if (a->kept == GRIST_KEPT_CODES) one.key_scales += hidden, one.value_scales += hidden;
  one.first_seen = seen_by(a, query) - hidden;
  one.length = a->length - hidden;
  return one;
}

static void attend(const grist_attention *a) {
  if (!is_small(a->count, a->length)) return attend_many(a);
  for (size_t query = 0; query < a->count; query++) {
    grist_attention one = only_query(a, query);
    if (a->kept == GRIST_KEPT_HALF) attend_one(&one, GRIST_KEPT_HALF);
    else if (a->kept == GRIST_KEPT_FLOAT) attend_one(&one, GRIST_KEPT_FLOAT);
    else attend_one(&one, GRIST_KEPT_CODES);
  }
}

static size_t attention_scratch(size_t dimension, size_t greatest_count, size_t length) {
  /* However many queries are asked for, fewer may come: a last block, a single token. */
  if (is_small(greatest_count, length)) return length;
  size_t width = rounded_up(dimension, kPanel);
  size_t blocks = 2 * (kQueryBlock + kKeyBlock) * width + GRIST_ATTENTION_ROWS * kKeyBlock;
  return length > blocks ? length : blocks;
}

#endif
