/* Tile products of a single token on AVX2, for weights that come from memory.

   Up to four tiles are met column by column at the same time: so many places of memory, side by side, the CPU reads ahead of
   faster than of one. Two cores of a Zen 3 read a fifth more a second that way. */
#ifndef GRIST_AVX2_LONE_H
#define GRIST_AVX2_LONE_H

#include "x86/grist_avx2_tiles.h"

enum {
  kLoneTiles = 4, /* of two halves each: eight sums leave room in the registers */
  kLoneAhead = 256, /* bytes: what the CPU itself reads ahead ends with the page */
};

/* Adds the products of one block of columns, whose activations are `a` and `b`, and half a tile. */
GRIST_INLINE __m256i add_block(__m256i sums, const uint8_t *codes, __m256i table, __m256i a, __m256i b, int kind) {
  __m256i low, high;
  load_half(codes, kind, table, &low, &high);
  if (adds_up_in_16_bits(kind))
    return _mm256_add_epi32(
        sums, widened(_mm256_add_epi16(_mm256_maddubs_epi16(low, a), _mm256_maddubs_epi16(high, b))));
  return dot4(dot4(sums, low, a, kind), high, b, kind);
}

/* All columns of the `tiles` tiles from `tile` on. */
GRIST_INLINE void lone_token(const grist_tile_product *p, size_t tile, size_t tiles, int kind) {
  struct tile_operands o = tile_operands(p, tile, 0, kind);
  size_t tile_bytes = code_bytes_of_tile(p, kind), block_bytes = 16 * bits_of(kind);
  int bias = bias_of(kind);
  __m256i table = biased_table(p, kind, bias);
  __m256 totals[kLoneTiles][2];
  for (size_t t = 0; t < tiles; t++)
    for (int h = 0; h < 2; h++) totals[t][h] = _mm256_setzero_ps();
  for (size_t group = 0, k = 0; group < o.groups; group++) {
    size_t end = k + p->group_size < o.padded ? k + p->group_size : o.padded;
    __m256i sums[kLoneTiles][2];
    for (size_t t = 0; t < tiles; t++)
      for (int h = 0; h < 2; h++) sums[t][h] = _mm256_set1_epi32(bias != 0 ? -bias * o.x_sums[group] : 0);
    for (; k < end; k += GRIST_BLOCK_COLUMNS, o.codes += block_bytes) {
      __m256i a = four_activations(o.x + k), b = four_activations(o.x + k + 4);
      for (size_t t = 0; t < tiles; t++) {
        const uint8_t *codes = o.codes + t * tile_bytes;
        for (size_t line = 0; line < block_bytes; line += 64)
          __builtin_prefetch((const void *)((uintptr_t)codes + kLoneAhead + line), 0, 2);
        for (int h = 0; h < 2; h++) sums[t][h] = add_block(sums[t][h], codes + 32 * h, table, a, b, kind);
      }
    }
    __m256 x_scale = _mm256_set1_ps(o.x_scales[group]);
    for (size_t t = 0; t < tiles; t++) {
      const uint16_t *scales = o.scales + t * o.groups * GRIST_TILE_ROWS;
      fetch_scales_once(o.fetching, scales, group);
      for (int h = 0; h < 2; h++) {
        const __m128i *halves = (const __m128i *)(scales + group * GRIST_TILE_ROWS + 8 * h);
        __m256 scale = _mm256_mul_ps(_mm256_cvtph_ps(_mm_loadu_si128(halves)), x_scale);
        totals[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][h]), scale, totals[t][h]);
      }
    }
  }
  for (size_t t = 0; t < tiles; t++)
    for (int h = 0; h < 2; h++) store_rows(p, (tile + t) * GRIST_TILE_ROWS + 8 * (size_t)h, 0, totals[t][h]);
}

/* The product with the only token. Tiles are shared out evenly, so that none is left to be read alone. */
GRIST_INLINE void multiply_lone_token(const grist_tile_product *p, int kind) {
  size_t tiles = tiles_of(p);
  for (size_t tile = 0, some; tile < tiles; tile += some) {
    size_t rest = tiles - tile, turns = (rest + kLoneTiles - 1) / kLoneTiles;
    some = (rest + turns - 1) / turns;
    switch (some) { /* constants unroll the loops */
    case 4: lone_token(p, tile, 4, kind); break;
    case 3: lone_token(p, tile, 3, kind); break;
    case 2: lone_token(p, tile, 2, kind); break;
    default: lone_token(p, tile, 1, kind);
    }
  }
}

#endif
