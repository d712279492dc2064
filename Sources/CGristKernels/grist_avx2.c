#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define GRIST_ISA avx2
#define GRIST_OWN_TILE_PRODUCTS
#define GRIST_HAS_HALF
#define GRIST_ATTENTION_ROWS 3
#include "grist_template.h"

#include "grist_blocking.h"
#include "grist_tables.h"

/* vpmaddubsw multiplies unsigned by signed bytes and adds neighbours in 16 bits. int4 codes are stored as 0...15: two
   products of at most 15*127 stay far below 32767. int8 codes hand their sign to the activations first: two products of
   at most 127*127 just fit. A tile's 16 rows are two registers of 8. */

struct halves {
  __m256i first, second; /* rows 0...7 and 8...15 */
};

GRIST_INLINE __m256i dot4(__m256i sums, __m256i weights, __m256i x, int bits) {
  __m256i pairs = bits == 4 ? _mm256_maddubs_epi16(weights, x)
                            : _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Columns k...k+3 and k+4...k+7 of one block. */
GRIST_INLINE void load_block(const uint8_t *codes, int bits, struct halves *low, struct halves *high) {
  __m256i a = _mm256_loadu_si256((const __m256i *)codes);
  __m256i b = _mm256_loadu_si256((const __m256i *)(codes + 32));
  if (bits == 4) {
    __m256i mask = _mm256_set1_epi8(15);
    *low = (struct halves){_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)};
    *high = (struct halves){
        _mm256_and_si256(_mm256_srli_epi16(a, 4), mask), _mm256_and_si256(_mm256_srli_epi16(b, 4), mask)};
  } else {
    *low = (struct halves){a, b};
    *high = (struct halves){
        _mm256_loadu_si256((const __m256i *)(codes + 64)), _mm256_loadu_si256((const __m256i *)(codes + 96))};
  }
}

GRIST_INLINE __m256i four_activations(const int8_t *x) {
  int32_t word;
  memcpy(&word, x, sizeof word);
  return _mm256_set1_epi32(word);
}

GRIST_INLINE void store_rows(
    const grist_tile_product *p, size_t tile, size_t token, __m256 first_total, __m256 second_total) {
  float total[GRIST_TILE_ROWS];
  _mm256_storeu_ps(total, first_total);
  _mm256_storeu_ps(total + 8, second_total);
  size_t first = tile * GRIST_TILE_ROWS;
  size_t rows = p->rows - first < GRIST_TILE_ROWS ? p->rows - first : GRIST_TILE_ROWS;
  float *out = p->out + token * p->out_stride + first;
  for (size_t row = 0; row < rows; row++)
    out[row] = total[row] * p->multiplier + (p->bias != NULL ? p->bias[first + row] : 0);
}

/* `tokens` (1, or up to 4) of one tile. */
GRIST_INLINE void few_tokens(const grist_tile_product *p, size_t tile, size_t token, int bits, int tokens) {
  struct tile_operands o = tile_operands(p, tile, token, bits);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  const uint8_t *codes = o.codes;
  __m256 first_total[4], second_total[4];
  for (int t = 0; t < tokens; t++) first_total[t] = second_total[t] = _mm256_setzero_ps();
  for (size_t group = 0, k = 0; group < groups; group++) {
    size_t end = k + group_size < padded ? k + group_size : padded;
    __m256i first[4], second[4];
    for (int t = 0; t < tokens; t++)
      first[t] = second[t] = _mm256_set1_epi32(bits == 4 ? -8 * o.x_sums[(size_t)t * groups + group] : 0);
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits) {
      struct halves low, high;
      load_block(codes, bits, &low, &high);
      for (int t = 0; t < tokens; t++) {
        const int8_t *row = o.x + (size_t)t * padded + k;
        __m256i a = four_activations(row), b = four_activations(row + 4);
        first[t] = dot4(dot4(first[t], low.first, a, bits), high.first, b, bits);
        second[t] = dot4(dot4(second[t], low.second, a, bits), high.second, b, bits);
      }
    }
    const __m128i *group_scales = (const __m128i *)(o.scales + group * GRIST_TILE_ROWS);
    __m256 first_scale = _mm256_cvtph_ps(_mm_loadu_si128(group_scales));
    __m256 second_scale = _mm256_cvtph_ps(_mm_loadu_si128(group_scales + 1));
    for (int t = 0; t < tokens; t++) {
      __m256 scale = _mm256_set1_ps(o.x_scales[(size_t)t * groups + group]);
      first_total[t] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(first[t]), _mm256_mul_ps(first_scale, scale), first_total[t]);
      second_total[t] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(second[t]), _mm256_mul_ps(second_scale, scale), second_total[t]);
    }
  }
  for (int t = 0; t < tokens; t++) store_rows(p, tile, token + (size_t)t, first_total[t], second_total[t]);
}

GRIST_INLINE void eight_tokens(const grist_tile_product *p, size_t tile, size_t token, int bits) {
  for (size_t half = 0; half < 8; half += 2) few_tokens(p, tile, token + half, bits, 2);
}

GRIST_INLINE void one_token(const grist_tile_product *p, size_t tile, size_t token, int bits) {
  few_tokens(p, tile, token, bits, 1);
}

static void multiply_int8_tiles(const grist_tile_product *p) { GRIST_WALK(p, 8, eight_tokens, one_token); }
static void multiply_int4_tiles(const grist_tile_product *p) { GRIST_WALK(p, 4, eight_tokens, one_token); }

const grist_kernel_table grist_table_avx2 = {GRIST_TABLE_ENTRIES};

#pragma clang attribute pop

#endif
