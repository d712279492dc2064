/* How fast the kernels are on one thread of this machine, beside what the instruction set allows: the best of many short
   runs, since whatever else the machine does only slows them down.

       time_kernels [INSTRUCTION-SET] */

#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grist_kernels.h"
#include "grist_limits.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (memory == NULL) exit(70);
  return memory;
}

static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static float any(void) { return (float)(int32_t)(next() & 0xffff) / 32768.0f - 1.0f; }

static float *random_floats(size_t count) {
  float *x = allocate(count * sizeof *x);
  for (size_t i = 0; i < count; i++) x[i] = any();
  return x;
}

/* Runs JOB for half a second; leaves the shortest run's seconds in `best`. */
#define BEST(best, JOB)                                                    \
  double best = 1e9;                                                       \
  for (double end = now() + 0.5; now() < end;) {                           \
    double start = now();                                                  \
    JOB;                                                                   \
    double took = now() - start;                                           \
    best = took < best ? took : best;                                      \
  }

static const grist_kernel_table *k;
static double limit; /* int8 operations a second */

static void report(const char *what, double amount, const char *unit, double seconds, double of) {
  printf("  %-58s %8.2f %s", what, amount / seconds / 1e9, unit);
  if (of > 0) printf("  %3.0f %%", 100 * amount / seconds / of);
  printf("\n");
}

enum { kTable = 1, kInt8 = 2 };

static void time_product(const char *what, int kind, size_t tokens, size_t columns, size_t tiles, size_t group_size) {
  size_t bits = kind == kInt8 ? 8 : 4, groups = columns / group_size;
  uint8_t *codes = allocate(tiles * 16 * columns * bits / 8);
  uint16_t *scales = allocate(tiles * 16 * groups * 2);
  int8_t *x = allocate(tokens * columns + 64);
  float *x_scales = random_floats(tokens * groups);
  int32_t *x_sums = allocate(tokens * groups * 4);
  float *out = allocate(tokens * tiles * 16 * 4);
  static const int8_t table[16] = {-32, -24, -19, -15, -11, -8, -5, -2, 0, 3, 6, 9, 12, 16, 21, 28};
  for (size_t i = 0; i < tiles * 16 * columns * bits / 8; i++) codes[i] = (uint8_t)(next() % 255);
  for (size_t i = 0; i < tiles * 16 * groups; i++) scales[i] = 0x2000;
  for (size_t i = 0; i < tokens * columns; i++) x[i] = (int8_t)(next() % 255 - 127);
  memset(x_sums, 0, tokens * groups * 4);
  grist_tile_product p = {
      .codes = codes, .scales = scales, .table = kind == kTable ? table : NULL, .tiles = tiles, .columns = columns,
      .group_size = group_size, .rows = tiles * 16, .multiplier = 1, .activations = x, .activation_scales = x_scales,
      .activation_sums = x_sums, .tokens = tokens, .out = out, .out_stride = tiles * 16};
  BEST(seconds, (kind == kInt8 ? k->multiply_int8_tiles : k->multiply_int4_tiles)(&p));
  if (tokens > 1)
    report(what, 2.0 * (double)(tokens * columns * tiles * 16), "GOP/s", seconds, limit);
  else
    report(what, (double)(tiles * 16) * ((double)(columns * bits) / 8 + 2.0 * (double)groups), "GB/s ", seconds, 0);
  free(codes), free(scales), free(x), free(x_scales), free(x_sums), free(out);
}

static void time_attention(const char *what, size_t count, size_t length, size_t dimension, enum grist_kept kept, bool causal,
    bool may_narrow) {
  float *q = random_floats(count * dimension), *out = allocate(count * dimension * 4);
  float *keys = random_floats(length * dimension), *values = random_floats(length * dimension);
  uint16_t *half_keys = allocate(length * dimension * 2), *half_values = allocate(length * dimension * 2);
  k->half_from_float(keys, half_keys, length * dimension);
  k->half_from_float(values, half_values, length * dimension);
  int8_t *key_codes = allocate(length * dimension), *value_codes = allocate(length * dimension);
  for (size_t i = 0; i < length * dimension; i++) key_codes[i] = value_codes[i] = (int8_t)(next() % 255 - 127);
  float *scales = random_floats(length);
  const void *kept_keys[] = {keys, half_keys, key_codes}, *kept_values[] = {values, half_values, value_codes};
  static const double bytes[] = {4, 2, 1};
  float *scratch = allocate(k->attention_scratch(dimension, count, length) * 4);
  grist_attention a = {
      .queries = q, .query_stride = dimension, .count = count, .keys = kept_keys[kept],
      .values = kept_values[kept], .key_stride = dimension, .kept = kept, .key_scales = scales, .value_scales = scales, .length = length,
      .first_seen = causal ? length - count + 1 : length, .seen_step = causal, .dimension = dimension,
      .scale = 1 / sqrtf((float)dimension), .may_narrow = may_narrow, .out = out, .out_stride = dimension, .scratch = scratch};
  BEST(seconds, k->attend(&a));
  double pairs = (double)count * (double)length - (causal ? (double)count * (double)(count - 1) / 2 : 0);
  if (count > 1)
    report(what, 4 * pairs * (double)dimension, "GFLOP/s", seconds, 0);
  else
    report(what, 2.0 * (double)(length * dimension) * bytes[kept], "GB/s ", seconds, 0);
  free(q), free(out), free(keys), free(values), free(half_keys), free(half_values), free(scratch);
  free(key_codes), free(value_codes), free(scales);
}

/* One query a head behind `length` rows in f16, as decoding has them: the heads together outgrow the caches. */
static void time_decoding(const char *what, size_t length) {
  enum { kDimension = 128, kBytes = 256 << 20 };
  size_t head = length * kDimension, heads = kBytes / 2 / (head * sizeof(uint16_t));
  uint16_t *keys = allocate(heads * head * 2), *values = allocate(heads * head * 2);
  for (size_t i = 0; i < heads * head; i++) keys[i] = values[i] = (uint16_t)(0x2c00 + i % 256);
  float *q = random_floats(kDimension), *out = allocate(kDimension * 4);
  float *scratch = allocate(k->attention_scratch(kDimension, 1, length) * 4);
  grist_attention a = {
      .queries = q, .query_stride = kDimension, .count = 1, .key_stride = kDimension, .kept = GRIST_KEPT_HALF,
      .length = length, .first_seen = length, .dimension = kDimension, .scale = 1 / sqrtf(kDimension), .out = out,
      .out_stride = kDimension, .scratch = scratch};
  BEST(seconds, for (size_t i = 0; i < heads; i++) {
    a.keys = keys + i * head;
    a.values = values + i * head;
    k->attend(&a);
  });
  report(what, 4.0 * (double)(heads * head), "GB/s ", seconds, 0);
  free(keys), free(values), free(q), free(out), free(scratch);
}

static void time_rows(void) {
  enum { kWidth = 4096, kRows = 4 };
  float *x = random_floats(kWidth * kRows), *y = random_floats(kWidth * kRows), *out = allocate(kWidth * kRows * 4);
  int8_t *codes = allocate(kWidth);
  float scales[kWidth / 32];
  int32_t sums[kWidth / 32];
  double values = kWidth * kRows;
#define ROW(what, JOB)                                                                    \
  do {                                                                                    \
    BEST(seconds, for (int r = 0; r < kRows; r++) { size_t at = (size_t)r * kWidth; JOB; }); \
    report(what, values, "G values/s", seconds, 0);                                       \
  } while (0)
  ROW("turn a row", k->rotate_blocks(x + at, out + at, kWidth));
  ROW("round a row to int8, groups of 64", k->quantize_activations(x + at, kWidth, 64, codes, scales, sums));
  ROW("rms norm", k->rms_norm(x + at, y, 1e-5f, out + at, kWidth));
  ROW("layer norm", k->layer_norm(x + at, y, y, 1e-5f, out + at, kWidth));
  ROW("silu times up", (memcpy(out + at, x + at, kWidth * 4), k->silu_multiply(out + at, y + at, kWidth)));
  ROW("quick gelu", (memcpy(out + at, x + at, kWidth * 4), k->quick_gelu(out + at, kWidth)));
  ROW("gelu", (memcpy(out + at, x + at, kWidth * 4), k->gelu(out + at, kWidth)));
  ROW("add", k->add(out + at, y + at, kWidth));
  ROW("look for values that are not finite", (void)k->greatest_magnitude_bits(x + at, kWidth));
  free(x), free(y), free(out), free(codes);
}

static void time_quantizing(void) {
  enum { kColumns = 4096 };
  float *weights = random_floats(16 * kColumns);
  uint8_t *codes = allocate(16 * kColumns);
  uint16_t *scales = allocate(16 * kColumns / 32 * 2);
  static const int8_t table[16] = {-32, -24, -19, -15, -11, -8, -5, -2, 0, 3, 6, 9, 12, 16, 21, 28};
  struct grist_table_rows job = {
      .weights = weights, .rows = 16, .columns = kColumns, .end = kColumns, .group_size = 64, .window = 64, .table = table,
      .prescale = 1, .tile_rows = 16, .codes = codes, .scales = scales};
  BEST(seconds, (void)k->quantize_table_rows(&job));
  report("quantize to int4 by table, groups of 64", 16.0 * kColumns, "G values/s", seconds, 0);
  BEST(uniform, (void)k->quantize_rows(weights, 16, kColumns, 64, 8, 1, 16, codes, scales, NULL));
  report("quantize to int8, groups of 64", 16.0 * kColumns, "G values/s", uniform, 0);
  free(weights), free(codes), free(scales);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  k = argc > 1 ? grist_kernel_table_named(argv[1]) : grist_kernels();
  if (k == NULL) {
    fprintf(stderr, "this CPU or build has no kernels called %s\n", argv[1]);
    return 64;
  }
  const grist_limits *loops = grist_limits_named(k->name);
  if (loops == NULL) loops = grist_limits_of_kernels();
  enum { kRounds = 2000000 };
  BEST(seconds, (void)loops->dot(kRounds));
  limit = (double)kRounds * (double)loops->operations_per_round / seconds;
  printf("%s, one thread\n", k->name);
  report("int8 products between registers", limit, "GOP/s", 1, 0);
  time_product("512 rows x [1024 x 4096], int4 by table, groups of 64", kTable, 512, 4096, 64, 64);
  time_product("512 rows x [1024 x 4096], int4, groups of 64", 0, 512, 4096, 64, 64);
  time_product("512 rows x [1024 x 4096], int4 by table, groups of 32", kTable, 512, 4096, 64, 32);
  time_product("512 rows x [1024 x 4096], int8, groups of 64", kInt8, 512, 4096, 64, 64);
  time_product("512 rows x [256 x 11008], int4 by table, groups of 64", kTable, 512, 11008, 16, 64);
  time_product("512 rows x [256 x 11008], int8, groups of 64", kInt8, 512, 11008, 16, 64);
  time_product("512 rows x [1024 x 1024], int8, groups of 64", kInt8, 512, 1024, 64, 64);
  time_product("64 rows x [1024 x 4096], int4 by table", kTable, 64, 4096, 64, 64);
  time_product("64 rows x [65536 x 4096], int4 by table", kTable, 64, 4096, 4096, 64);
  time_product("one row x [256 x 4096], in the cache, int4 by table", kTable, 1, 4096, 16, 64);
  time_product("one row x [256 x 4096], in the cache, int8", kInt8, 1, 4096, 16, 64);
  time_product("one row x [65536 x 4096], int4 by table", kTable, 1, 4096, 4096, 64);
  time_product("one row x [65536 x 4096], int8", kInt8, 1, 4096, 4096, 64);
  time_attention("attention, 512 of 512 rows, causal, f16", 512, 512, 128, GRIST_KEPT_HALF, true, false);
  time_attention("attention, 512 of 2900 rows, causal, f16", 512, 2900, 128, GRIST_KEPT_HALF, true, false);
  time_attention("attention, 512 of 2900 rows, causal, f16, narrow", 512, 2900, 128, GRIST_KEPT_HALF, true, true);
  time_attention("attention, 577 rows of 64, f32", 577, 577, 64, GRIST_KEPT_FLOAT, false, false);
  time_attention("attention, 577 rows of 64, f32, narrow", 577, 577, 64, GRIST_KEPT_FLOAT, false, true);
  time_attention("attention, one row behind 2900, f16", 1, 2900, 128, GRIST_KEPT_HALF, true, false);
  time_attention("attention, 512 of 2900 rows, causal, int8", 512, 2900, 128, GRIST_KEPT_CODES, true, false);
  time_attention("attention, one row behind 2900, int8", 1, 2900, 128, GRIST_KEPT_CODES, true, false);
  time_decoding("attention, one row behind 30, heads from memory", 30);
  time_decoding("attention, one row behind 512, heads from memory", 512);
  time_decoding("attention, one row behind 2900, heads from memory", 2900);
  time_rows();
  time_quantizing();
  return 0;
}
