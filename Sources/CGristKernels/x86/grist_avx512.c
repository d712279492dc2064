#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(                                                                     \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))),       \
    apply_to = function)

#define GRIST_OWN_TILE_PRODUCTS
#define GRIST_HAS_HALF
#define GRIST_ATTENTION_ROWS 8
#define GRIST_NEAREST "x86/grist_nearest_avx512.h"
#define GRIST_LARGE_SECOND_LEVEL
#include "templates/grist_template.h"

#include "templates/grist_blocking.h"
#include "grist_tables.h"

/* vpdpbusd multiplies unsigned by signed bytes. int4 codes are stored biased by 8, int8 codes become biased by 128 when
   their sign bit is flipped, and so is what the codes of a table stand for; the sums start at -bias times the activations' sum, and come out right. */

GRIST_INLINE void load_block(const uint8_t *codes, int kind, __m512i table, __m512i *low, __m512i *high) {
  if (kind == kWide8) {
    *low = _mm512_loadu_si512(codes);
    *high = _mm512_loadu_si512(codes + 64);
  } else if (kind != kInt8) {
    __m512i bytes = _mm512_loadu_si512(codes);
    __m512i mask = _mm512_set1_epi8(15);
    *low = _mm512_and_si512(bytes, mask);
    *high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask);
    if (kind == kTable4) {
      *low = _mm512_shuffle_epi8(table, *low);
      *high = _mm512_shuffle_epi8(table, *high);
    }
  } else {
    __m512i sign = _mm512_set1_epi8((char)0x80);
    *low = _mm512_xor_si512(_mm512_loadu_si512(codes), sign);
    *high = _mm512_xor_si512(_mm512_loadu_si512(codes + 64), sign);
  }
}

/* A table's sixteen values, biased by 128, for every lane to look them up. */
GRIST_INLINE __m512i biased_table(const grist_tile_product *p, int kind) {
  if (kind != kTable4) return _mm512_setzero_si512();
  __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p->table));
  return _mm512_xor_si512(values, _mm512_set1_epi8((char)0x80));
}

GRIST_INLINE __m512i four_activations(const int8_t *x) {
  int32_t word;
  memcpy(&word, x, sizeof word);
  return _mm512_set1_epi32(word);
}

/* Asks for a block of int8 codes as far ahead as the second-level cache takes to bring it; those behind the tile's end are
   the next tile's. int4 codes, half as many bytes for as much arithmetic, gain nothing by it. */
GRIST_INLINE void fetch_block(const uint8_t *codes, int kind) {
  enum { kAhead = 3072 };
  if (bits_of(kind) != 8) return;
  for (size_t line = 0; line < 16 * bits_of(kind); line += 64)
    __builtin_prefetch((const void *)((uintptr_t)codes + kAhead + line), 0, 3);
}

/* Asks for the places of the results of some tiles and tokens, to be written: tokens lie a page or more apart, and stores that
   wait for their lines hold up what follows. */
GRIST_INLINE void fetch_results(const grist_tile_product *p, size_t tile, int tiles, size_t token, int tokens) {
  uintptr_t row = (uintptr_t)(p->out + token * p->out_stride + tile * GRIST_TILE_ROWS);
  for (int t = 0; t < tokens; t++, row += p->out_stride * sizeof *p->out)
    for (int i = 0; i < tiles; i++)
      __builtin_prefetch((const void *)(row + (size_t)i * GRIST_TILE_ROWS * sizeof *p->out), 1, 3);
}

GRIST_INLINE void store_rows(const grist_tile_product *p, size_t tile, size_t token, __m512 total) {
  size_t first = tile * GRIST_TILE_ROWS;
  size_t rows = p->rows - first;
  __mmask16 mask = rows >= GRIST_TILE_ROWS ? 0xffff : (__mmask16)((1u << rows) - 1);
  __m512 bias = p->bias != NULL ? _mm512_maskz_loadu_ps(mask, p->bias + first) : _mm512_setzero_ps();
  __m512 out = _mm512_add_ps(_mm512_mul_ps(total, _mm512_set1_ps(p->multiplier)), bias);
  _mm512_mask_storeu_ps(p->out + token * p->out_stride + first, mask, out);
}

GRIST_INLINE __m512 tile_scales(const uint16_t *scales) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)scales));
}

GRIST_INLINE __m512 group_scales(const grist_tile_product *p, size_t tile, size_t groups, size_t group, int kind) {
  size_t at = (tile * groups + group) * GRIST_TILE_ROWS;
  return kind == kWide8 ? _mm512_loadu_ps(p->wide_scales + at) : tile_scales(p->scales + at);
}

/* `tokens` of one tile or two: each block of weights is loaded once and meets all their activations, each of these once both
   tiles. With one tile alone a product would wait for its own broadcast; with two and eight tokens, sixteen sums and what
   they meet fit the registers, and the totals, needed once a group, lie in the first-level cache. */
GRIST_INLINE void tokens_of_tiles(
    const grist_tile_product *p, size_t tile, int tiles, size_t token, int tokens, int kind) {
  struct tile_operands o = tile_operands(p, tile, token, kind);
  __m512i table = biased_table(p, kind);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  size_t tile_bytes = code_bytes_of_tile(p, kind);
  const uint8_t *codes = o.codes;
  int bias = kind == kInt4 ? -8 : -128;
  __m512 total[2][8];
  for (int i = 0; i < tiles; i++)
    for (int t = 0; t < tokens; t++) total[i][t] = _mm512_setzero_ps();
  enum { kGroupsAhead = 8 };
  size_t asks_for_results = groups > kGroupsAhead ? groups - kGroupsAhead : 0;
  for (size_t group = 0, k = 0; group < groups; group++) {
    if (group == asks_for_results) fetch_results(p, tile, tiles, token, tokens);
    size_t end = k + group_size < padded ? k + group_size : padded;
    __m512i sums[2][8];
    for (int t = 0; t < tokens; t++)
      for (int i = 0; i < tiles; i++) sums[i][t] = _mm512_set1_epi32(bias * o.x_sums[(size_t)t * groups + group]);
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
      __m512i low[2], high[2];
      for (int i = 0; i < tiles; i++) {
        const uint8_t *block = codes + (size_t)i * tile_bytes;
        fetch_block(block, kind);
        load_block(block, kind, table, &low[i], &high[i]);
      }
      for (int t = 0; t < tokens; t++) {
        const int8_t *row = o.x + (size_t)t * padded + k;
        __m512i first = four_activations(row), second = four_activations(row + 4);
        for (int i = 0; i < tiles; i++) sums[i][t] = _mm512_dpbusd_epi32(sums[i][t], low[i], first);
        for (int i = 0; i < tiles; i++) sums[i][t] = _mm512_dpbusd_epi32(sums[i][t], high[i], second);
      }
    }
    for (int i = 0; i < tiles; i++) {
      __m512 scale = group_scales(p, tile + (size_t)i, groups, group, kind);
      for (int t = 0; t < tokens; t++) {
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(o.x_scales[(size_t)t * groups + group]));
        total[i][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i][t]), both, total[i][t]);
      }
    }
  }
  for (int i = 0; i < tiles; i++)
    for (int t = 0; t < tokens; t++) store_rows(p, tile + (size_t)i, token + (size_t)t, total[i][t]);
}

GRIST_INLINE void many_tokens(
    const grist_tile_product *p, size_t tile, size_t end, size_t token, int tokens, int kind) {
  for (; tile + 2 <= end; tile += 2) tokens_of_tiles(p, tile, 2, token, tokens, kind);
  if (tile < end) tokens_of_tiles(p, tile, 1, token, tokens, kind);
}

/* One token of one tile: four independent sums hide the multiplier's latency, so that memory is what is waited for. */
GRIST_INLINE void one_token(const grist_tile_product *p, size_t tile, size_t token, int kind) {
  enum { kAtOnce = 32 }; /* columns */
  struct tile_operands o = tile_operands(p, tile, token, kind);
  __m512i table = biased_table(p, kind);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  const uint8_t *codes = o.codes;
  int bias = kind == kInt4 ? -8 : -128;
  __m512 total = _mm512_setzero_ps();
  for (size_t group = 0, k = 0; group < groups; group++) {
    size_t end = k + group_size < padded ? k + group_size : padded;
    __m512i sums[4] = {
        _mm512_set1_epi32(bias * o.x_sums[group]), _mm512_setzero_si512(), _mm512_setzero_si512(),
        _mm512_setzero_si512()};
    __m512i low, high;
    if (kind != kWide8) fetch_scales_once(o.fetching, o.scales, group);
    for (; k + kAtOnce <= end; k += kAtOnce, codes += code_bytes(kAtOnce, kind)) {
      fetch_codes(p, o.fetching, codes, code_bytes(kAtOnce, kind), kind);
      for (int block = 0; block < kAtOnce / GRIST_BLOCK_COLUMNS; block++) {
        const int8_t *x = o.x + k + block * GRIST_BLOCK_COLUMNS;
        int pair = block % 2 * 2;
        load_block(codes + code_bytes(block * GRIST_BLOCK_COLUMNS, kind), kind, table, &low, &high);
        sums[pair] = _mm512_dpbusd_epi32(sums[pair], low, four_activations(x));
        sums[pair + 1] = _mm512_dpbusd_epi32(sums[pair + 1], high, four_activations(x + 4));
      }
    }
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
      load_block(codes, kind, table, &low, &high);
      sums[0] = _mm512_dpbusd_epi32(sums[0], low, four_activations(o.x + k));
      sums[1] = _mm512_dpbusd_epi32(sums[1], high, four_activations(o.x + k + 4));
    }
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    __m512 both = _mm512_mul_ps(group_scales(p, tile, groups, group, kind), _mm512_set1_ps(o.x_scales[group]));
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), both, total);
  }
  store_rows(p, tile, token, total);
}

GRIST_TILE_PRODUCTS

#include "templates/grist_widen.h"
#include "x86/grist_avx512_wide.h"

static void multiply_wide_tiles(const grist_tile_product *p) { GRIST_WALK(p, kWide8, many_tokens, one_token); }

#define GRIST_WIDE_ENTRIES \
  .widen_tile = widen_tile, .widen_rows = widen_rows, .multiply_wide_tiles = multiply_wide_tiles

const grist_kernel_table grist_table_avx512 = {GRIST_TABLE_ENTRIES("avx512", attend), GRIST_WIDE_ENTRIES};
const grist_kernel_table grist_table_avx512bf16 = {GRIST_TABLE_ENTRIES("avx512bf16", grist_attend_bf16), GRIST_WIDE_ENTRIES};

#pragma clang attribute pop

#endif
