/* Tile products in 256-bit registers: a tile's 16 rows are two of 8. An instruction set includes this after the
   template, with its own

     dot4(sums, weights, x, kind)   adds four products to each of 8 sums: weights of 8 rows x 4 columns, x broadcast
     kInt8Bias                      128 where dot4 takes int8 codes biased by that, as unsigned bytes; else 0

   int4 codes go in as they are stored, biased by 8; where they are indices, what they stand for goes in like int8 codes. Sums start at -bias times the activations' sum, and come out
   right. */
#ifndef GRIST_YMM_TILES_H
#define GRIST_YMM_TILES_H

#include <immintrin.h>

#include "grist_blocking.h"

/* Tokens of one tile whose sums stay in the registers: their eight leave room for what they meet. */
enum { kTokensAtOnce = 4 };

struct halves {
  __m256i first, second; /* rows 0...7 and 8...15 */
};

/* Columns k...k+3 and k+4...k+7 of one block. */
GRIST_INLINE void load_block(const uint8_t *codes, int kind, __m256i table, struct halves *low, struct halves *high) {
  __m256i a = _mm256_loadu_si256((const __m256i *)codes);
  __m256i b = _mm256_loadu_si256((const __m256i *)(codes + 32));
  if (kind != kInt8) {
    __m256i mask = _mm256_set1_epi8(15);
    *low = (struct halves){_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)};
    *high = (struct halves){
        _mm256_and_si256(_mm256_srli_epi16(a, 4), mask), _mm256_and_si256(_mm256_srli_epi16(b, 4), mask)};
    if (kind == kTable4) {
      *low = (struct halves){_mm256_shuffle_epi8(table, low->first), _mm256_shuffle_epi8(table, low->second)};
      *high = (struct halves){_mm256_shuffle_epi8(table, high->first), _mm256_shuffle_epi8(table, high->second)};
    }
  } else {
    __m256i c = _mm256_loadu_si256((const __m256i *)(codes + 64));
    __m256i d = _mm256_loadu_si256((const __m256i *)(codes + 96));
    __m256i flip = _mm256_set1_epi8((char)kInt8Bias); /* of the sign bit: adds the bias */
    *low = (struct halves){_mm256_xor_si256(a, flip), _mm256_xor_si256(b, flip)};
    *high = (struct halves){_mm256_xor_si256(c, flip), _mm256_xor_si256(d, flip)};
  }
}

GRIST_INLINE __m256i four_activations(const int8_t *x) {
  int32_t word;
  memcpy(&word, x, sizeof word);
  return _mm256_set1_epi32(word);
}

GRIST_INLINE void store_rows(
    const grist_tile_product *p, size_t tile, size_t token, __m256 first_total, __m256 second_total) {
  size_t first = tile * GRIST_TILE_ROWS;
  size_t rows = p->rows - first;
  float *out = p->out + token * p->out_stride + first;
  __m256 multiplier = _mm256_set1_ps(p->multiplier);
  first_total = _mm256_mul_ps(first_total, multiplier);
  second_total = _mm256_mul_ps(second_total, multiplier);
  if (rows >= GRIST_TILE_ROWS) {
    if (p->bias != NULL) {
      first_total = _mm256_add_ps(first_total, _mm256_loadu_ps(p->bias + first));
      second_total = _mm256_add_ps(second_total, _mm256_loadu_ps(p->bias + first + 8));
    }
    _mm256_storeu_ps(out, first_total);
    _mm256_storeu_ps(out + 8, second_total);
    return;
  }
  float total[GRIST_TILE_ROWS];
  _mm256_storeu_ps(total, first_total);
  _mm256_storeu_ps(total + 8, second_total);
  for (size_t row = 0; row < rows; row++) out[row] = total[row] + (p->bias != NULL ? p->bias[first + row] : 0);
}

/* `tokens` (1, or kTokensAtOnce) of one tile. */
GRIST_INLINE void few_tokens(const grist_tile_product *p, size_t tile, size_t token, int kind, int tokens) {
  struct tile_operands o = tile_operands(p, tile, token, kind);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  const uint8_t *codes = o.codes;
  int bias = kind == kInt4 ? 8 : kInt8Bias;
  __m256i table = _mm256_setzero_si256();
  if (kind == kTable4)
    table = _mm256_xor_si256(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p->table)), _mm256_set1_epi8((char)kInt8Bias));
  /* A single token has registers to spare: a second set of sums keeps its instructions from waiting for each other. */
  int sets = tokens == 1 ? 2 : 1;
  __m256 first_total[kTokensAtOnce], second_total[kTokensAtOnce];
  for (int t = 0; t < tokens; t++) first_total[t] = second_total[t] = _mm256_setzero_ps();
  for (size_t group = 0, k = 0; group < groups; group++) {
    size_t end = k + group_size < padded ? k + group_size : padded;
    __m256i first[kTokensAtOnce][2], second[kTokensAtOnce][2];
    for (int t = 0; t < tokens; t++) {
      first[t][sets - 1] = second[t][sets - 1] = _mm256_setzero_si256();
      first[t][0] = second[t][0] = _mm256_set1_epi32(bias != 0 ? -bias * o.x_sums[(size_t)t * groups + group] : 0);
    }
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
      struct halves low, high;
      if (tokens == 1 && (k & GRIST_BLOCK_COLUMNS) == 0) fetch_codes(codes, kind);
      load_block(codes, kind, table, &low, &high);
      for (int t = 0; t < tokens; t++) {
        const int8_t *row = o.x + (size_t)t * padded + k;
        __m256i a = four_activations(row), b = four_activations(row + 4);
        first[t][0] = dot4(first[t][0], low.first, a, kind);
        second[t][0] = dot4(second[t][0], low.second, a, kind);
        first[t][sets - 1] = dot4(first[t][sets - 1], high.first, b, kind);
        second[t][sets - 1] = dot4(second[t][sets - 1], high.second, b, kind);
      }
    }
    const __m128i *group_scales = (const __m128i *)(o.scales + group * GRIST_TILE_ROWS);
    __m256 first_scale = _mm256_cvtph_ps(_mm_loadu_si128(group_scales));
    __m256 second_scale = _mm256_cvtph_ps(_mm_loadu_si128(group_scales + 1));
    for (int t = 0; t < tokens; t++) {
      __m256 scale = _mm256_set1_ps(o.x_scales[(size_t)t * groups + group]);
      __m256i first_sum = first[t][0], second_sum = second[t][0];
      if (sets == 2) {
        first_sum = _mm256_add_epi32(first_sum, first[t][1]);
        second_sum = _mm256_add_epi32(second_sum, second[t][1]);
      }
      first_total[t] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(first_sum), _mm256_mul_ps(first_scale, scale), first_total[t]);
      second_total[t] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(second_sum), _mm256_mul_ps(second_scale, scale), second_total[t]);
    }
  }
  for (int t = 0; t < tokens; t++) store_rows(p, tile, token + (size_t)t, first_total[t], second_total[t]);
}

GRIST_INLINE void many_tokens(
    const grist_tile_product *p, size_t tile, size_t end, size_t token, int tokens, int kind) {
  for (; tile < end; tile++)
    for (int some = 0; some < tokens; some += kTokensAtOnce)
      few_tokens(p, tile, token + (size_t)some, kind, kTokensAtOnce);
}

GRIST_INLINE void one_token(const grist_tile_product *p, size_t tile, size_t token, int kind) {
  few_tokens(p, tile, token, kind, 1);
}

GRIST_TILE_PRODUCTS

#endif
