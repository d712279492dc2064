#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)

#define GRIST_OWN_TILE_PRODUCTS
#define GRIST_HAS_HALF
#define GRIST_NEAREST "x86/grist_nearest_avx2.h"
#include "templates/grist_template.h"

#include "grist_tables.h"

/* vpdpbusd multiplies unsigned by signed bytes, as in AVX-512, here for CPUs that have it without AVX-512. */

enum { kInt8Bias = 128 };

GRIST_INLINE __m256i dot4(__m256i sums, __m256i weights, __m256i x, int kind) {
  (void)kind;
  return _mm256_dpbusd_avx_epi32(sums, weights, x);
}

#include "x86/grist_ymm_tiles.h"

GRIST_TILE_PRODUCTS

const grist_kernel_table grist_table_avxvnni = {GRIST_TABLE_ENTRIES("avxvnni", attend)};

#pragma clang attribute pop

#endif
