/* Tile products in 256-bit registers: a tile's 16 rows are two halves of 8. An instruction set includes this after the
   template, with its own

     dot4(sums, weights, x, kind)   adds four products to each of 8 sums: weights of 8 rows x 4 columns, x broadcast
     kInt8Bias                      128 where dot4 takes int8 codes biased by that, as unsigned bytes; else 0

   and defines the two products of a table after it. int4 codes go in as they are stored, biased by 8; where they are indices,
   what they stand for goes in like int8 codes, or, where the instruction set tells narrow tables apart, biased by kNarrowMost. Sums start at -bias times the activations' sum, and come out right. */
#ifndef GRIST_YMM_TILES_H
#define GRIST_YMM_TILES_H

#include <immintrin.h>

#include "templates/grist_blocking.h"

/* Both halves of four tokens: eight sums leave room in the registers for what they meet, and halves share loads of
   activations. */
enum { kMostTokens = 4 };

/* Columns k...k+3 and k+4...k+7 of one block, of the half that `codes` begins with. */
GRIST_INLINE void load_half(const uint8_t *codes, int kind, __m256i table, __m256i *low, __m256i *high) {
  __m256i bytes = _mm256_loadu_si256((const __m256i *)codes);
  if (kind != kInt8) {
    __m256i mask = _mm256_set1_epi8(15);
    *low = _mm256_and_si256(bytes, mask);
    *high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);
    if (has_table(kind)) {
      *low = _mm256_shuffle_epi8(table, *low);
      *high = _mm256_shuffle_epi8(table, *high);
    }
  } else {
    __m256i flip = _mm256_set1_epi8((char)kInt8Bias); /* of the sign bit: adds the bias */
    *low = _mm256_xor_si256(bytes, flip);
    *high = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(codes + 64)), flip);
  }
}

/* How much greater than what it stands for a weight goes into dot4. */
GRIST_INLINE int bias_of(int kind) { return kind == kInt4 ? 8 : kind == kNarrowTable4 ? kNarrowMost : kInt8Bias; }

/* What codes stand for, each greater by `bias`; nothing where they are their own values. */
GRIST_INLINE __m256i biased_table(const grist_tile_product *p, int kind, int bias) {
  if (!has_table(kind)) return _mm256_setzero_si256();
  __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p->table));
  return _mm256_add_epi8(values, _mm256_set1_epi8((char)bias));
}

GRIST_INLINE __m256i four_activations(const int8_t *x) {
  int32_t word;
  memcpy(&word, x, sizeof word);
  return _mm256_set1_epi32(word);
}

/* Eight rows from `first` on, or as many of them as there are. */
GRIST_INLINE void store_rows(const grist_tile_product *p, size_t first, size_t token, __m256 total) {
  if (first >= p->rows) return;
  size_t rows = p->rows - first;
  float *out = p->out + token * p->out_stride + first;
  total = _mm256_mul_ps(total, _mm256_set1_ps(p->multiplier));
  if (rows >= 8) {
    if (p->bias != NULL) total = _mm256_add_ps(total, _mm256_loadu_ps(p->bias + first));
    _mm256_storeu_ps(out, total);
    return;
  }
  float values[8];
  _mm256_storeu_ps(values, total);
  for (size_t row = 0; row < rows; row++) out[row] = values[row] + (p->bias != NULL ? p->bias[first + row] : 0);
}

/* The tokens from `token` on, at most kMostTokens, of one tile. */
GRIST_INLINE void tokens_of_tile(const grist_tile_product *p, size_t tile, size_t token, int tokens, int kind) {
  struct tile_operands o = tile_operands(p, tile, token, kind);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  const uint8_t *codes = o.codes;
  int bias = bias_of(kind);
  __m256i table = biased_table(p, kind, bias);
  /* A single token has registers to spare: a second set of sums keeps its instructions from waiting for each other. */
  int sets = tokens == 1 ? 2 : 1;
  __m256 totals[2][kMostTokens];
  for (int h = 0; h < 2; h++)
    for (int t = 0; t < tokens; t++) totals[h][t] = _mm256_setzero_ps();
  for (size_t group = 0, k = 0; group < groups; group++) {
    size_t end = k + group_size < padded ? k + group_size : padded;
    __m256i sums[2][kMostTokens][2];
    if (tokens == 1) fetch_scales_once(o.fetching, o.scales, group);
    for (int t = 0; t < tokens; t++)
      for (int h = 0; h < 2; h++) {
        sums[h][t][sets - 1] = _mm256_setzero_si256();
        sums[h][t][0] = _mm256_set1_epi32(bias != 0 ? -bias * o.x_sums[(size_t)t * groups + group] : 0);
      }
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
      __m256i low[2], high[2];
      if (tokens == 1 && (k & GRIST_BLOCK_COLUMNS) == 0) fetch_codes(p, o.fetching, codes, code_bytes(2 * GRIST_BLOCK_COLUMNS, kind), kind);
      for (int h = 0; h < 2; h++) load_half(codes + 32 * h, kind, table, &low[h], &high[h]);
      for (int t = 0; t < tokens; t++) {
        const int8_t *row = o.x + (size_t)t * padded + k;
        __m256i a = four_activations(row), b = four_activations(row + 4);
        for (int h = 0; h < 2; h++) sums[h][t][0] = dot4(sums[h][t][0], low[h], a, kind);
        for (int h = 0; h < 2; h++) sums[h][t][sets - 1] = dot4(sums[h][t][sets - 1], high[h], b, kind);
      }
    }
    __m256 scales[2];
    for (int h = 0; h < 2; h++) {
      const uint16_t *halves = o.scales + group * GRIST_TILE_ROWS + 8 * h;
      scales[h] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
    }
    for (int t = 0; t < tokens; t++) {
      __m256 scale = _mm256_set1_ps(o.x_scales[(size_t)t * groups + group]);
      for (int h = 0; h < 2; h++) {
        __m256i sum = sets == 2 ? _mm256_add_epi32(sums[h][t][0], sums[h][t][1]) : sums[h][t][0];
        totals[h][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scales[h], scale), totals[h][t]);
      }
    }
  }
  for (int h = 0; h < 2; h++)
    for (int t = 0; t < tokens; t++)
      store_rows(p, tile * GRIST_TILE_ROWS + 8 * (size_t)h, token + (size_t)t, totals[h][t]);
}

GRIST_INLINE void many_tokens(
    const grist_tile_product *p, size_t tile, size_t end, size_t token, int tokens, int kind) {
  for (; tile < end; tile++)
    for (int some = 0; some < tokens; some += kMostTokens)
      tokens_of_tile(p, tile, token + (size_t)some, kMostTokens, kind);
}

GRIST_INLINE void one_token(const grist_tile_product *p, size_t tile, size_t token, int kind) {
  tokens_of_tile(p, tile, token, 1, kind);
}

#endif
