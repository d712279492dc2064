/* A span of columns of four tiles and what many tokens bring to it, in the first-level cache: for grist_avx2_tiles.h.

   Weights of int4 codes and of a narrow table's values are kept as bytes, which vpmaddubsw multiplies by biased activations; other
   weights in 16 bits, for vpmaddwd. */
#ifndef GRIST_AVX2_SPAN_H
#define GRIST_AVX2_SPAN_H

#include <immintrin.h>

#include "templates/grist_blocking.h"

enum {
  kSpanTiles = GRIST_TILES_TOGETHER,
  kSpanVectors = 2 * kSpanTiles, /* of eight rows */
  kSpanColumns = 64,
  kSpanTokens = 64,
  kActivationBias = 128,
  kMostSquares = 32767 * 32767,
  kSquareUnit = 8, /* of the activations' sums of squares: they fit in 16 bits */
};

/* What stays in the first-level cache. Of kinds that add up in 16 bits it is quads, biased bytes, starts and corrections. */
struct span {
  union {
    int8_t quads[kSpanColumns / 4][kSpanVectors][32];  /* four columns of eight rows */
    int16_t pairs[kSpanColumns / 2][kSpanVectors][16]; /* two columns of eight rows */
  } weights;
  float scales[kSpanVectors][8];
  /* What the activations' bias brings in, negative: modulo 2^16, and as it is. */
  int16_t starts[kSpanVectors][16];
  int32_t corrections[kSpanVectors][8];
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

/* The squares of four columns of eight rows, neighbours added: unsigned 16 bits. */
GRIST_INLINE __m256i squares_of(__m256i quads) {
  __m256i magnitudes = _mm256_abs_epi8(quads);
  return _mm256_maddubs_epi16(magnitudes, magnitudes);
}

/* Columns first...first+columns of eight rows, whose codes of that first column `codes` points to. Returns a narrow table's
   sums of squares, of two columns of four each: at most 32 * 32^2, in unsigned 16 bits. */
GRIST_INLINE __m256i unpack_vector(
    struct span *span, size_t vector, const uint8_t *codes, size_t columns, __m256i table, int kind) {
  const __m256i eight = _mm256_set1_epi8(8), ones = _mm256_set1_epi8(1);
  __m256i sums = _mm256_setzero_si256(), squares = _mm256_setzero_si256();
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
      if (kind == kNarrowTable4) squares = _mm256_add_epi16(squares, _mm256_add_epi16(squares_of(low), squares_of(high)));
      store_aligned(span->weights.quads[k / 4][vector], low);
      store_aligned(span->weights.quads[k / 4 + 1][vector], high);
    } else {
      store_pairs(span->weights.pairs + k / 2, vector, low);
      store_pairs(span->weights.pairs + k / 2 + 2, vector, high);
    }
  }
  if (adds_up_in_16_bits(kind)) {
    store_aligned(span->starts[vector], _mm256_mullo_epi16(sums, _mm256_set1_epi16(-kActivationBias)));
    store_aligned(span->corrections[vector], _mm256_madd_epi16(sums, _mm256_set1_epi16(-kActivationBias)));
  }
  return squares;
}

/* The greatest of sixteen unsigned numbers. */
GRIST_INLINE unsigned greatest_of(__m256i numbers) {
  __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256(numbers, 1));
  return 0xffff ^ (unsigned)_mm_extract_epi16(_mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1))), 0);
}

/* A span's columns of four tiles' vectors, `vectors` of which there are. Returns the greatest sum of squares of a narrow table's
   values that meet in 16 bits. */
GRIST_INLINE unsigned unpack_span(
    struct span *span, size_t vectors, const uint8_t *codes, size_t tile_bytes, size_t columns, __m256i table, int kind) {
  __m256i squares = _mm256_setzero_si256();
  for (size_t v = 0; v < vectors; v++) {
    const uint8_t *half = codes + v / 2 * tile_bytes + v % 2 * 32;
    squares = _mm256_max_epu16(squares, unpack_vector(span, v, half, columns, table, kind));
  }
  return greatest_of(squares);
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

/* Adds the squares of the first and of the last two columns of each four. */
GRIST_INLINE void add_squares(__m256i sums[2], __m256i quads) {
  __m256i squares = squares_of(quads);
  sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(squares, _mm256_set1_epi32(1)));
  sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(squares, _mm256_set1_epi32(1 << 16)));
}

/* The greater of one token's two sums of squares that meet in 16 bits, in units, rounded up. */
GRIST_INLINE uint16_t square_units(const int8_t *x, size_t columns) {
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  size_t k = 0;
  for (; k + 32 <= columns; k += 32) add_squares(sums, _mm256_loadu_si256((const __m256i *)(x + k)));
  for (; k < columns; k += GRIST_BLOCK_COLUMNS)
    add_squares(sums, _mm256_zextsi128_si256(_mm_loadl_epi64((const __m128i *)(x + k))));
  __m256i pairs = _mm256_hadd_epi32(sums[0], sums[1]), both = _mm256_hadd_epi32(pairs, pairs);
  __m128i total = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  int greatest = _mm_cvtsi128_si32(_mm_max_epi32(total, _mm_srli_si128(total, 4)));
  return (uint16_t)((greatest + kSquareUnit - 1) / kSquareUnit);
}

/* Which of the tokens have sums that lie within 16 bits with weights whose sums of squares are at most `squares`: bit t for
   token t. */
GRIST_INLINE uint64_t quiet_tokens(const uint16_t units[kSpanTokens], unsigned squares) {
  unsigned most = kMostSquares / kSquareUnit / (squares > 0 ? squares : 1);
  const __m256i limit = _mm256_set1_epi16((short)(most < 0xffff ? most : 0xffff)), none = _mm256_setzero_si256();
  uint64_t quiet = 0;
  for (size_t t = 0; t < kSpanTokens; t += 32) {
    __m256i a = _mm256_subs_epu16(load_aligned(units + t), limit), b = _mm256_subs_epu16(load_aligned(units + t + 16), limit);
    __m256i within = _mm256_packs_epi16(_mm256_cmpeq_epi16(a, none), _mm256_cmpeq_epi16(b, none));
    uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(within, 0xd8));
    quiet |= (uint64_t)bits << t;
  }
  return quiet;
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

#endif
