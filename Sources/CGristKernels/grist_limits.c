#include "grist_limits.h"

#include <string.h>

#include "grist_kernels.h"
#include "templates/grist_vectors.h"

enum { kWeight = GRIST_LIMITS_WEIGHT, kActivation = GRIST_LIMITS_ACTIVATION };

/* Cut to the registers of the instruction set whose function it is inlined in. */
typedef uint64_t vec8w __attribute__((vector_size(64)));

/* Keeps four sums, shared out evenly among the places. */
GRIST_INLINE uint64_t read_from(const vec8w *vectors, size_t count, size_t places) {
  size_t lanes = 4 / places, apart = count / places;
  vec8w sums[4] = {0};
  for (size_t i = 0; i < apart; i += lanes)
    for (size_t s = 0; s < 4; s++) sums[s] ^= vectors[s / lanes * apart + i + s % lanes];
  vec8w both = (sums[0] ^ sums[1]) ^ (sums[2] ^ sums[3]);
  uint64_t sum = 0;
  for (int lane = 0; lane < 8; lane++) sum ^= both[lane];
  return sum;
}

GRIST_INLINE uint64_t read_bytes(const void *buffer, size_t bytes, size_t places) {
  size_t count = bytes / sizeof(vec8w);
  return places == 4 ? read_from(buffer, count, 4) : read_from(buffer, count, 1);
}

static uint64_t read_portable(const void *buffer, size_t bytes, size_t places) { return read_bytes(buffer, bytes, places); }

/* 128 products a round. The operands stay in the first-level cache; the compiler vectorises as it does the kernels. */
static uint32_t dot_portable(size_t rounds) {
  int8_t weights[128], x[128];
  for (int i = 0; i < 128; i++) {
    weights[i] = kWeight;
    x[i] = kActivation;
  }
  uint32_t total = 0;
  for (size_t round = 0; round < rounds; round++) {
    int8_t *operand = weights;
    __asm__ volatile("" : "+r"(operand) : : "memory");
    int32_t sum = 0;
    for (int i = 0; i < 128; i++) sum += operand[i] * x[i];
    total += (uint32_t)sum;
  }
  return total;
}

static const grist_limits limits_portable = {"portable", read_portable, dot_portable, 2 * 128};

#if defined(__x86_64__)

#include <immintrin.h>

/* Keeps the compiler from seeing through a register: what follows cannot be computed before, or left out. */
#define OPAQUE_VECTOR(value) __asm__ volatile("" : "+v"(value))

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

static uint64_t read_avx2(const void *buffer, size_t bytes, size_t places) { return read_bytes(buffer, bytes, places); }

/* Ten chains of vpmaddubsw, vpmaddwd and vpaddd: 32 products each. */
static uint32_t dot_avx2(size_t rounds) {
  __m256i weights = _mm256_set1_epi8(kWeight), x = _mm256_set1_epi8(kActivation), ones = _mm256_set1_epi16(1);
  __m256i sums[10];
  for (int i = 0; i < 10; i++) sums[i] = _mm256_setzero_si256();
  for (size_t round = 0; round < rounds; round++)
    for (int i = 0; i < 10; i++) {
      OPAQUE_VECTOR(x);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(weights, x), ones));
    }
  for (int i = 1; i < 10; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  uint32_t lanes[8], sum = 0;
  _mm256_storeu_si256((__m256i *)lanes, sums[0]);
  for (int lane = 0; lane < 8; lane++) sum += lanes[lane];
  return sum;
}

#pragma clang attribute pop

static const grist_limits limits_avx2 = {"avx2", read_avx2, dot_avx2, 10 * 2 * 32};

#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)

/* Twelve chains of vpdpbusd in 256 bits: 32 products each. */
static uint32_t dot_avxvnni(size_t rounds) {
  __m256i weights = _mm256_set1_epi8(kWeight), x = _mm256_set1_epi8(kActivation);
  __m256i sums[12];
  for (int i = 0; i < 12; i++) sums[i] = _mm256_setzero_si256();
  for (size_t round = 0; round < rounds; round++)
    for (int i = 0; i < 12; i++) {
      sums[i] = _mm256_dpbusd_avx_epi32(sums[i], weights, x);
      OPAQUE_VECTOR(sums[i]);
    }
  for (int i = 1; i < 12; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  uint32_t lanes[8], sum = 0;
  _mm256_storeu_si256((__m256i *)lanes, sums[0]);
  for (int lane = 0; lane < 8; lane++) sum += lanes[lane];
  return sum;
}

#pragma clang attribute pop

static const grist_limits limits_avxvnni = {"avxvnni", read_avx2, dot_avxvnni, 12 * 2 * 32};

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni"))), apply_to = function)

static uint64_t read_avx512(const void *buffer, size_t bytes, size_t places) { return read_bytes(buffer, bytes, places); }

/* Twelve chains of vpdpbusd, more than latency times units: 64 products each. */
static uint32_t dot_avx512(size_t rounds) {
  __m512i weights = _mm512_set1_epi8(kWeight), x = _mm512_set1_epi8(kActivation);
  __m512i sums[12];
  for (int i = 0; i < 12; i++) sums[i] = _mm512_setzero_si512();
  for (size_t round = 0; round < rounds; round++)
    for (int i = 0; i < 12; i++) {
      sums[i] = _mm512_dpbusd_epi32(sums[i], weights, x);
      OPAQUE_VECTOR(sums[i]);
    }
  for (int i = 1; i < 12; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return (uint32_t)_mm512_reduce_add_epi32(sums[0]);
}

#pragma clang attribute pop

static const grist_limits limits_avx512 = {"avx512", read_avx512, dot_avx512, 12 * 2 * 64};
/* Weights meet activations by the same instructions. */
static const grist_limits limits_avx512bf16 = {"avx512bf16", read_avx512, dot_avx512, 12 * 2 * 64};

#elif defined(__aarch64__)

#include <arm_neon.h>

#define OPAQUE_VECTOR(value) __asm__ volatile("" : "+w"(value))

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

/* Sixteen chains of sdot, more than latency times units: 16 products each. */
static uint32_t dot_neon(size_t rounds) {
  int8x16_t weights = vdupq_n_s8(kWeight), x = vdupq_n_s8(kActivation);
  int32x4_t sums[16];
  for (int i = 0; i < 16; i++) sums[i] = vdupq_n_s32(0);
  for (size_t round = 0; round < rounds; round++)
    for (int i = 0; i < 16; i++) {
      sums[i] = vdotq_s32(sums[i], weights, x);
      OPAQUE_VECTOR(sums[i]);
    }
  uint32_t sum = 0;
  for (int i = 0; i < 16; i++) sum += vaddvq_u32(vreinterpretq_u32_s32(sums[i]));
  return sum;
}

#pragma clang attribute pop

static const grist_limits limits_neon = {"neon", read_portable, dot_neon, 16 * 2 * 16};

#endif

static const grist_limits *const all[] = {
#if defined(__x86_64__)
    &limits_avx512bf16,
    &limits_avx512,
    &limits_avxvnni,
    &limits_avx2,
#elif defined(__aarch64__)
    &limits_neon,
#endif
    &limits_portable,
};

const grist_limits *grist_limits_named(const char *name) {
  if (grist_kernel_table_named(name) == NULL) return NULL;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i]->name, name) == 0) return all[i];
  return NULL;
}

const grist_limits *grist_limits_of_kernels(void) {
  const grist_limits *own = grist_limits_named(grist_kernels()->name);
  return own != NULL ? own : &limits_portable;
}
