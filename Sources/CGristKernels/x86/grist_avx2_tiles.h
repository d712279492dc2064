/* Tile products of many tokens on AVX2, whose arithmetic is bound by how many instructions it takes.

   Four tiles, 64 rows, are unpacked a span of columns at a time into the first-level cache, and meet many tokens there
   before the next span comes. An instruction then takes its weights straight from memory, and one broadcast of activations
   meets eight vectors of rows. The tokens' activations stay in the second-level cache while tile after tile meets them; codes
   stream by.

   - int4 codes and a narrow table's values: vpmaddubsw multiplies activations biased by 128, as unsigned bytes, by weights of
     -8...7 or -32...32, and adds neighbours. What the bias brings in, 128 times the weights' sum, is known since they were
     unpacked, and taken off first. All of a span then adds up modulo 2^16 before it is widened, where the sum itself, of
     32 columns, lies within 16 bits. Those of int4 codes do. Those of a narrow table's values do where the lengths of the
     activations and of the weights say so (Cauchy and Schwarz: the sum is at most the product of both lengths), as they do
     nearly always. Tokens of which they do not are widened after every four products.
   - int8 codes and other tables' values: vpmaddwd multiplies both in 16 bits. In 8 bits the weights' sign would have to be handed
     over to each token's activations, an instruction more.

   Integers are exact and floats are added in the order of grist_ymm_tiles.h, so results are the same bit for bit. */
#ifndef GRIST_AVX2_TILES_H
#define GRIST_AVX2_TILES_H

#include <immintrin.h>

#include "x86/grist_avx2_span.h"

enum {
  kActivationBytes = 384 * 1024, /* that stay in the second-level cache */
  kMostSpans = 512, /* whose tokens' lengths are kept */
  /* Fewer do not pay for unpacking. */
  kManyTokens = 8
};

GRIST_INLINE __m256i four_products(__m256i x, const int8_t *weights) {
  return _mm256_maddubs_epi16(x, load_aligned(weights));
}

/* What came together in 16 bits. */
GRIST_INLINE __m256i widened(__m256i narrow) { return _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)); }

/* The sums of a span's products, which lie within 16 bits. */
GRIST_INLINE void add_up_quietly(__m256i sums[kSpanVectors], const struct span *span, const uint8_t *x, size_t quads) {
  __m256i narrow[kSpanVectors];
  for (int v = 0; v < kSpanVectors; v++) narrow[v] = load_aligned(span->starts[v]);
  for (size_t i = 0; i < quads; i++) {
    __m256i four = four_activations((const int8_t *)x + 4 * i);
    for (int v = 0; v < kSpanVectors; v++)
      narrow[v] = _mm256_add_epi16(narrow[v], four_products(four, span->weights.quads[i][v]));
  }
  for (int v = 0; v < kSpanVectors; v++) sums[v] = widened(narrow[v]);
}

/* The sums of a span's products, of an even number of quads, four products of which lie within 16 bits. */
GRIST_INLINE void add_up(__m256i sums[kSpanVectors], const struct span *span, const uint8_t *x, size_t quads) {
  for (int v = 0; v < kSpanVectors; v++) sums[v] = load_aligned(span->corrections[v]);
  for (size_t i = 0; i < quads; i += 2) {
    __m256i a = four_activations((const int8_t *)x + 4 * i), b = four_activations((const int8_t *)x + 4 * i + 4);
    for (int v = 0; v < kSpanVectors; v++) {
      __m256i first = four_products(a, span->weights.quads[i][v]), second = four_products(b, span->weights.quads[i + 1][v]);
      sums[v] = _mm256_add_epi32(sums[v], widened(_mm256_add_epi16(first, second)));
    }
  }
}

/* The sums of a span's products, of pairs of columns, a multiple of four. */
GRIST_INLINE void add_up_pairs(__m256i sums[kSpanVectors], const struct span *span, const int16_t *x, size_t pairs) {
  for (int v = 0; v < kSpanVectors; v++) sums[v] = _mm256_setzero_si256();
#pragma clang loop unroll_count(4)
  for (size_t i = 0; i < pairs; i++) {
    __m256i two = four_activations((const int8_t *)(x + 2 * i));
    for (int v = 0; v < kSpanVectors; v++)
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(two, load_aligned(span->weights.pairs[i][v])));
  }
}

/* The span's columns of one token, which may begin a group and may end it. */
GRIST_INLINE void multiply_token(
    struct span *span, size_t token, size_t columns, bool begins, bool ends, bool quiet, float x_scale, int kind) {
  __m256i sums[kSpanVectors];
  if (!adds_up_in_16_bits(kind))
    add_up_pairs(sums, span, span->x[token].words, columns / 2);
  else if (quiet)
    add_up_quietly(sums, span, span->x[token].biased, columns / 4);
  else
    add_up(sums, span, span->x[token].biased, columns / 4);
  if (!begins)
    for (int v = 0; v < kSpanVectors; v++) sums[v] = _mm256_add_epi32(sums[v], load_aligned(span->sums[token][v]));
  if (!ends) {
    for (int v = 0; v < kSpanVectors; v++) store_aligned(span->sums[token][v], sums[v]);
    return;
  }
  for (int v = 0; v < kSpanVectors; v++) {
    float *total = span->totals[token][v];
    __m256 scale = _mm256_mul_ps(_mm256_load_ps(span->scales[v]), _mm256_set1_ps(x_scale));
    _mm256_store_ps(total, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[v]), scale, _mm256_load_ps(total)));
  }
}

/* Asks for a share of four tiles' codes of 64 columns: the next span's, while the first 32 tokens meet this one. */
GRIST_INLINE void fetch_span(const uint8_t *codes, size_t tile_bytes, size_t token, int kind) {
  enum { kTokens = 32 };
  const size_t lines = kSpanTiles * kSpanColumns * GRIST_TILE_ROWS * bits_of(kind) / 8 / 64;
  if (token >= kTokens) return;
  for (size_t line = token * lines / kTokens; line < (token + 1) * lines / kTokens; line++) {
    size_t offset = line % kSpanTiles * tile_bytes + line / kSpanTiles * 64;
    __builtin_prefetch((const void *)((uintptr_t)codes + offset));
  }
}

/* Where a span lies in its group, and what comes after it. */
struct span_place {
  size_t columns;
  bool begins, ends;
  const uint8_t *next; /* span's codes */
  size_t tile_bytes;
  const float *x_scales; /* the group's, `groups` apart */
  size_t groups;
};

/* The span's columns of the tokens whose bits are set. */
GRIST_INLINE void multiply_tokens(struct span *span, struct span_place at, uint64_t tokens, bool quiet, int kind) {
  for (; tokens != 0; tokens &= tokens - 1) {
    size_t token = (size_t)__builtin_ctzll(tokens);
    float x_scale = at.x_scales[token * at.groups];
    /* Groups of 64 are what files have: constants here unroll all loops. */
    if (at.begins && at.ends && at.columns == kSpanColumns) {
      fetch_span(at.next, at.tile_bytes, token, kind);
      multiply_token(span, token, kSpanColumns, true, true, quiet, x_scale, kind);
    } else {
      multiply_token(span, token, at.columns, at.begins, at.ends, quiet, x_scale, kind);
    }
  }
}

/* Lengths of a block's tokens, squared, in units, span after span: measured while the first tiles meet them. */
struct lengths {
  _Alignas(32) uint16_t tokens[kMostSpans][kSpanTokens];
};

/* The tiles and tokens that meet: `tiles` and `tokens` from `tile` and `token` on. */
struct block {
  size_t tile, tiles, token, tokens;
};

/* Which of the block's tokens add up quietly in its span `index`, whose activations `x` points to, with weights whose sums of
   squares are at most `squares`. */
GRIST_INLINE uint64_t quiet_of_block(
    struct lengths *lengths, struct block block, size_t index, unsigned squares, const int8_t *x, size_t stride,
    size_t columns, int kind) {
  if (kind != kNarrowTable4) return ~0ull;
  if (index >= kMostSpans) return 0;
  if (block.tile == 0)
    for (size_t t = 0; t < block.tokens; t++) lengths->tokens[index][t] = square_units(x + t * stride, columns);
  return quiet_tokens(lengths->tokens[index], squares);
}

/* All columns of some tiles and tokens. With fewer tiles than a span has, what lies in the others' places is multiplied too, and
   goes nowhere. */
GRIST_INLINE void multiply_spans(
    const grist_tile_product *p, struct span *span, struct lengths *lengths, struct block block, int kind) {
  struct tile_operands o = tile_operands(p, block.tile, block.token, kind);
  struct span_place at = {.tile_bytes = code_bytes_of_tile(p, kind), .groups = o.groups};
  __m256i table = biased_table(p, kind, 0);
  const uint64_t all = ~0ull >> (kSpanTokens - block.tokens);
  memset(span->totals, 0, block.tokens * sizeof span->totals[0]);
  for (size_t group = 0, k = 0, index = 0; group < o.groups; group++) {
    size_t begin = k, end = k + p->group_size < o.padded ? k + p->group_size : o.padded;
    for (size_t v = 0; v < 2 * block.tiles; v++) {
      const uint16_t *halves = o.scales + (v / 2 * o.groups + group) * GRIST_TILE_ROWS + v % 2 * 8;
      _mm256_store_ps(span->scales[v], _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves)));
    }
    at.x_scales = o.x_scales + group;
    for (; k < end; k += at.columns, index++) {
      at.columns = end - k < kSpanColumns ? end - k : kSpanColumns;
      at.begins = k == begin, at.ends = k + at.columns == end;
      at.next = o.codes + (k + at.columns) * GRIST_TILE_ROWS * bits_of(kind) / 8;
      const uint8_t *codes = o.codes + k * GRIST_TILE_ROWS * bits_of(kind) / 8;
      unsigned squares = unpack_span(span, 2 * block.tiles, codes, at.tile_bytes, at.columns, table, kind);
      take_activations(span, o.x + k, o.padded, block.tokens, at.columns, kind);
      uint64_t quiet = all & quiet_of_block(lengths, block, index, squares, o.x + k, o.padded, at.columns, kind);
      multiply_tokens(span, at, quiet, true, kind);
      if (quiet != all) multiply_tokens(span, at, all & ~quiet, false, kind);
    }
  }
  for (size_t t = 0; t < block.tokens; t++)
    for (size_t v = 0; v < 2 * block.tiles; v++)
      store_rows(p, block.tile * GRIST_TILE_ROWS + 8 * v, block.token + t, _mm256_load_ps(span->totals[t][v]));
}

/* The first `tiles` tiles. */
GRIST_INLINE void multiply_many(const grist_tile_product *p, size_t tiles, int kind) {
  _Alignas(64) struct span span;
  struct lengths lengths;
  memset(&span, 0, offsetof(struct span, x)); /* places of tiles that a product may not have */
  size_t most = kActivationBytes / padded_columns(p->columns);
  most = most > kSpanTokens ? kSpanTokens : most < kSpanTokens / 2 ? kSpanTokens / 2 : most;
  size_t blocks = (p->tokens + most - 1) / most;
  for (size_t i = 0; i < blocks; i++)
    for (size_t tile = 0; tile < tiles; tile += kSpanTiles) {
      size_t first = p->tokens * i / blocks, end = p->tokens * (i + 1) / blocks;
      struct block block = {tile, tiles - tile < kSpanTiles ? tiles - tile : kSpanTiles, first, end - first};
      multiply_spans(p, &span, &lengths, block, kind);
    }
}

/* The tiles from `first` on alone. */
static inline grist_tile_product from_tile(const grist_tile_product *p, size_t first, int kind) {
  grist_tile_product rest = *p;
  size_t groups = (p->columns + p->group_size - 1) / p->group_size, row = first * GRIST_TILE_ROWS;
  rest.codes += first * code_bytes_of_tile(p, kind);
  rest.scales += groups * row;
  rest.tiles -= first;
  rest.rows -= row;
  rest.out += row;
  if (rest.bias != NULL) rest.bias += row;
  return rest;
}

GRIST_INLINE void few_or_many(const grist_tile_product *p, int kind) {
  size_t tiles = tiles_of(p), whole = p->tokens >= kManyTokens ? tiles - tiles % kSpanTiles : 0;
  /* Three tiles of four are no slower than tile by tile. */
  if (p->tokens >= kManyTokens && tiles - whole == kSpanTiles - 1) whole = tiles;
  if (whole > 0) multiply_many(p, whole, kind);
  if (whole == tiles) return;
  grist_tile_product rest = from_tile(p, whole, kind);
  GRIST_WALK(&rest, kind, many_tokens, one_token);
}

#endif
