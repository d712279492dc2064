/* Tile products of many tokens on AVX2, whose arithmetic is bound by how many instructions it takes.

   Four tiles, 64 rows, are unpacked a span of columns at a time into the first-level cache, and meet many tokens there
   before the next span comes. An instruction then takes its weights straight from memory, and one broadcast of activations
   meets eight vectors of rows. The tokens' activations stay in the second-level cache while tile after tile meets them; codes
   stream by.

   - int4 codes and a narrow table's values: vpmaddubsw multiplies activations biased by 128, as unsigned bytes, by weights of
     -8...7 or -32...32. Two products are at most 4080 or 16320, so eight or two such pairs add up in 16 bits before they are
     widened. What the bias brings in, 128 times the weights' sum, is known since they were unpacked.
   - int8 codes and other tables' values: vpmaddwd multiplies both in 16 bits. In 8 bits the weights' sign would have to be handed
     over to each token's activations, an instruction more.

   Integers are exact and floats are added in the order of grist_ymm_tiles.h, so results are the same bit for bit. */
#ifndef GRIST_AVX2_TILES_H
#define GRIST_AVX2_TILES_H

#include <immintrin.h>

#include "grist_blocking.h"

enum {
  kSpanTiles = GRIST_TILES_TOGETHER,
  kSpanVectors = 2 * kSpanTiles, /* of eight rows */
  kSpanColumns = 64,
  kSpanTokens = 32,
  kInt4Quads = 8, /* of columns: how many add up in 16 bits */
  kActivationBias = 128,
  /* Fewer do not pay for unpacking. */
  kManyTokens = 8
};

/* What stays in the first-level cache. Of kinds that add up in 16 bits it is quads, biased bytes and corrections. */
struct span {
  union {
    int8_t quads[kSpanColumns / 4][kSpanVectors][32];  /* four columns of eight rows */
    int16_t pairs[kSpanColumns / 2][kSpanVectors][16]; /* two columns of eight rows */
  } weights;
  float scales[kSpanVectors][8];
  int32_t corrections[kSpanVectors][8]; /* what the activations' bias brings in, negative */
  union {
    uint8_t biased[kSpanColumns];
    int16_t words[kSpanColumns];
  } x[kSpanTokens];
  float totals[kSpanTokens][kSpanVectors][8];
  int32_t sums[kSpanTokens][kSpanVectors][8]; /* of a group that takes more than one span */
};

GRIST_INLINE __m256i load_aligned(const void *from) { return _mm256_load_si256((const __m256i *)from); }
GRIST_INLINE void store_aligned(void *to, __m256i value) { _mm256_store_si256((__m256i *)to, value); }

/* Four columns of eight rows as two pairs of columns, sign-extended. */
GRIST_INLINE void store_pairs(int16_t (*pairs)[kSpanVectors][16], size_t vector, __m256i quads) {
  /* Into the upper byte of each word, from where an arithmetic shift brings the sign along. */
  const __m256i first = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
  const __m256i second = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15));
  store_aligned(pairs[0][vector], _mm256_srai_epi16(_mm256_shuffle_epi8(quads, first), 8));
  store_aligned(pairs[1][vector], _mm256_srai_epi16(_mm256_shuffle_epi8(quads, second), 8));
}

/* Columns first...first+columns of eight rows, whose codes of that first column `codes` points to. */
GRIST_INLINE void unpack_vector(
    struct span *span, size_t vector, const uint8_t *codes, size_t columns, __m256i table, int kind) {
  const __m256i eight = _mm256_set1_epi8(8), ones = _mm256_set1_epi8(1);
  __m256i sums = _mm256_setzero_si256();
  for (size_t k = 0; k < columns; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
    __m256i low, high;
    load_half(codes, kind, table, &low, &high);
    if (kind == kInt4) {
      low = _mm256_sub_epi8(low, eight);
      high = _mm256_sub_epi8(high, eight);
    }
    if (adds_up_in_16_bits(kind)) {
      sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(ones, low));
      sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(ones, high));
      store_aligned(span->weights.quads[k / 4][vector], low);
      store_aligned(span->weights.quads[k / 4 + 1][vector], high);
    } else {
      store_pairs(span->weights.pairs + k / 2, vector, low);
      store_pairs(span->weights.pairs + k / 2 + 2, vector, high);
    }
  }
  if (adds_up_in_16_bits(kind))
    store_aligned(span->corrections[vector], _mm256_madd_epi16(sums, _mm256_set1_epi16(-kActivationBias)));
}

/* Some columns of one token, a multiple of eight. */
GRIST_INLINE void take_columns(struct span *span, size_t token, const int8_t *x, size_t columns, int kind) {
  for (size_t k = 0; k < columns; k += GRIST_BLOCK_COLUMNS) {
    __m128i eight = _mm_loadl_epi64((const __m128i *)(x + k));
    if (adds_up_in_16_bits(kind))
      _mm_storel_epi64(
          (__m128i *)(span->x[token].biased + k), _mm_xor_si128(eight, _mm_set1_epi8((char)kActivationBias)));
    else
      _mm_store_si128((__m128i *)(span->x[token].words + k), _mm_cvtepi8_epi16(eight));
  }
}

/* All columns of a span. */
GRIST_INLINE void take_span(struct span *span, size_t token, const int8_t *x, int kind) {
  if (adds_up_in_16_bits(kind)) {
    for (size_t k = 0; k < kSpanColumns; k += 32)
      store_aligned(
          span->x[token].biased + k,
          _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(x + k)), _mm256_set1_epi8((char)kActivationBias)));
  } else {
    for (size_t k = 0; k < kSpanColumns; k += 16)
      store_aligned(span->x[token].words + k, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(x + k))));
  }
}

/* One span's columns of the tokens from `x` on. */
GRIST_INLINE void take_activations(
    struct span *span, const int8_t *x, size_t stride, size_t tokens, size_t columns, int kind) {
  for (size_t t = 0; t < tokens; t++, x += stride) {
    if (columns == kSpanColumns)
      take_span(span, t, x, kind);
    else
      take_columns(span, t, x, columns, kind);
    /* Rows may lie a page apart, all in the same place of the first-level cache: to the second-level one. */
    __builtin_prefetch((const void *)((uintptr_t)x + 2 * columns), 0, 2);
  }
}

GRIST_INLINE __m256i four_products(__m256i x, const int8_t *weights) {
  return _mm256_maddubs_epi16(x, load_aligned(weights));
}

/* Adds what came together in 16 bits. */
GRIST_INLINE __m256i widen(__m256i sums, __m256i narrow) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

/* Adds the products of two quads of columns. */
GRIST_INLINE void add_two_quads(__m256i sums[kSpanVectors], int8_t (*weights)[kSpanVectors][32], const uint8_t *x) {
  __m256i a = four_activations((const int8_t *)x), b = four_activations((const int8_t *)x + 4);
  for (int v = 0; v < kSpanVectors; v++)
    sums[v] = widen(sums[v], _mm256_add_epi16(four_products(a, weights[0][v]), four_products(b, weights[1][v])));
}

/* Adds the products of some quads of columns, as many as add up in 16 bits. */
GRIST_INLINE void add_quads(
    __m256i sums[kSpanVectors], int8_t (*weights)[kSpanVectors][32], const uint8_t *x, size_t quads) {
  __m256i narrow[kSpanVectors];
  for (int v = 0; v < kSpanVectors; v++) narrow[v] = _mm256_setzero_si256();
  for (size_t i = 0; i < quads; i++) {
    __m256i four = four_activations((const int8_t *)x + 4 * i);
    for (int v = 0; v < kSpanVectors; v++)
      narrow[v] = _mm256_add_epi16(narrow[v], four_products(four, weights[i][v]));
  }
  for (int v = 0; v < kSpanVectors; v++) sums[v] = widen(sums[v], narrow[v]);
}

/* Adds the products of some pairs of columns, a multiple of four. */
GRIST_INLINE void add_pairs(
    __m256i sums[kSpanVectors], int16_t (*weights)[kSpanVectors][16], const int16_t *x, size_t pairs) {
#pragma clang loop unroll_count(4)
  for (size_t i = 0; i < pairs; i++) {
    __m256i two = four_activations((const int8_t *)(x + 2 * i));
    for (int v = 0; v < kSpanVectors; v++)
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(two, load_aligned(weights[i][v])));
  }
}

/* The span's columns of one token, which may begin a group and may end it. */
GRIST_INLINE void multiply_token(
    struct span *span, size_t token, size_t columns, bool begins, bool ends, float x_scale, int kind) {
  __m256i sums[kSpanVectors];
  for (int v = 0; v < kSpanVectors; v++) {
    sums[v] = adds_up_in_16_bits(kind) ? load_aligned(span->corrections[v]) : _mm256_setzero_si256();
    if (!begins) sums[v] = _mm256_add_epi32(sums[v], load_aligned(span->sums[token][v]));
  }
  if (adds_up_in_16_bits(kind)) {
    const uint8_t *x = span->x[token].biased;
    size_t quad = 0, quads = columns / 4, together = kind == kInt4 ? kInt4Quads : 2;
    for (; quad + together <= quads; quad += together) {
      if (kind == kInt4)
        add_quads(sums, span->weights.quads + quad, x + 4 * quad, kInt4Quads);
      else
        add_two_quads(sums, span->weights.quads + quad, x + 4 * quad);
    }
    if (quad < quads) add_quads(sums, span->weights.quads + quad, x + 4 * quad, quads - quad);
  } else {
    add_pairs(sums, span->weights.pairs, span->x[token].words, columns / 2);
  }
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

/* Asks for the token's share of four tiles' codes of 64 columns: the next span's, while tokens meet this one. */
GRIST_INLINE void fetch_span(const uint8_t *codes, size_t tile_bytes, size_t token, int kind) {
  const size_t lines = kSpanTiles * kSpanColumns * GRIST_TILE_ROWS * bits_of(kind) / 8 / 64;
  for (size_t line = token * lines / kSpanTokens; line < (token + 1) * lines / kSpanTokens; line++) {
    size_t offset = line % kSpanTiles * tile_bytes + line / kSpanTiles * 64;
    __builtin_prefetch((const void *)((uintptr_t)codes + offset));
  }
}

/* All columns of `tiles` tiles and `tokens` tokens. With fewer tiles than a span has, what lies in the others' places is
   multiplied too, and goes nowhere. */
GRIST_INLINE void multiply_spans(
    const grist_tile_product *p, struct span *span, size_t tile, size_t tiles, size_t token, size_t tokens, int kind) {
  struct tile_operands o = tile_operands(p, tile, token, kind);
  size_t tile_bytes = code_bytes_of_tile(p, kind);
  __m256i table = biased_table(p, kind, 0);
  memset(span->totals, 0, tokens * sizeof span->totals[0]);
  for (size_t group = 0, k = 0; group < o.groups; group++) {
    size_t begin = k, end = k + p->group_size < o.padded ? k + p->group_size : o.padded;
    for (size_t v = 0; v < 2 * tiles; v++) {
      const uint16_t *halves = o.scales + (v / 2 * o.groups + group) * GRIST_TILE_ROWS + v % 2 * 8;
      _mm256_store_ps(span->scales[v], _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves)));
    }
    while (k < end) {
      size_t columns = end - k < kSpanColumns ? end - k : kSpanColumns;
      for (size_t v = 0; v < 2 * tiles; v++) {
        const uint8_t *codes = o.codes + v / 2 * tile_bytes + k * GRIST_TILE_ROWS * bits_of(kind) / 8;
        unpack_vector(span, v, codes + v % 2 * 32, columns, table, kind);
      }
      take_activations(span, o.x + k, o.padded, tokens, columns, kind);
      bool begins = k == begin, ends = k + columns == end;
      k += columns;
      /* Groups of 64 are what files have: constants here unroll all loops. */
      const float *x_scales = o.x_scales + group;
      if (begins && ends && columns == kSpanColumns)
        for (size_t t = 0; t < tokens; t++) {
          fetch_span(o.codes + k * GRIST_TILE_ROWS * bits_of(kind) / 8, tile_bytes, t, kind);
          multiply_token(span, t, kSpanColumns, true, true, x_scales[t * o.groups], kind);
        }
      else
        for (size_t t = 0; t < tokens; t++)
          multiply_token(span, t, columns, begins, ends, x_scales[t * o.groups], kind);
    }
  }
  for (size_t t = 0; t < tokens; t++)
    for (size_t v = 0; v < 2 * tiles; v++)
      store_rows(p, tile * GRIST_TILE_ROWS + 8 * v, token + t, _mm256_load_ps(span->totals[t][v]));
}

/* The first `tiles` tiles. */
GRIST_INLINE void multiply_many(const grist_tile_product *p, size_t tiles, int kind) {
  _Alignas(64) struct span span;
  memset(&span, 0, offsetof(struct span, x)); /* places of tiles that a product may not have */
  size_t blocks = (p->tokens + kSpanTokens - 1) / kSpanTokens;
  for (size_t block = 0; block < blocks; block++)
    for (size_t tile = 0; tile < tiles; tile += kSpanTiles) {
      size_t first = p->tokens * block / blocks, end = p->tokens * (block + 1) / blocks;
      size_t some = tiles - tile < kSpanTiles ? tiles - tile : kSpanTiles;
      multiply_spans(p, &span, tile, some, first, end - first, kind);
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
