#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define GRIST_OWN_TILE_PRODUCTS
#define GRIST_HAS_HALF
#define GRIST_NEAREST "x86/grist_nearest_avx2.h"
#define GRIST_TILES_TOGETHER 4
#define GRIST_STREAMED_BYTES (1024 * 1024)
#include "templates/grist_template.h"

#include "grist_tables.h"

/* Of a few tokens vpmaddubsw multiplies unsigned by signed bytes and adds neighbours in 16 bits. int4 codes are stored as
   0...15, and a narrow table's values become 0...64: two products of at most 64*127 stay far below 32767. int8 codes and
   other tables' values hand their sign to the activations first: two products of at most 127*127 just fit. */

#include "templates/grist_blocking.h"

enum { kInt8Bias = 0 };

GRIST_INLINE __m256i dot4(__m256i sums, __m256i weights, __m256i x, int kind) {
  __m256i pairs = adds_up_in_16_bits(kind)
                      ? _mm256_maddubs_epi16(weights, x)
                      : _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "x86/grist_ymm_tiles.h"

#include "x86/grist_avx2_tiles.h"

#include "x86/grist_avx2_lone.h"

GRIST_INLINE void multiply_tiles(const grist_tile_product *p, int kind) {
  if (p->tokens == 1)
    multiply_lone_token(p, kind);
  else
    few_or_many(p, kind);
}

static void multiply_int8_tiles(const grist_tile_product *p) { multiply_tiles(p, kInt8); }

static bool is_narrow(const int8_t *table) {
  for (int i = 0; i < 16; i++)
    if (table[i] < -kNarrowMost || table[i] > kNarrowMost) return false;
  return true;
}

static void multiply_int4_tiles(const grist_tile_product *p) {
  if (p->table == NULL)
    multiply_tiles(p, kInt4);
  else if (is_narrow(p->table))
    multiply_tiles(p, kNarrowTable4);
  else
    multiply_tiles(p, kTable4);
}

const grist_kernel_table grist_table_avx2 = {GRIST_TABLE_ENTRIES("avx2", attend)};

#pragma clang attribute pop

#endif
