/* Checks every kernel of every instruction set that this CPU and build offer, in memory with guard pages.

     check_kernels [ISA…]     only the named instruction sets; fails when one of them is not offered

   Floats are judged by the same arithmetic in f64, integers and conversions must be exact. Every input and output lies
   between pages that may not be touched: once up against the one behind it, once against the one before it, once off
   all alignment but its element's. Inputs cannot be written, and what surrounds an output must stay as it was.

   To check one more kernel, write check_NAME and put CHECK(NAME) into `checks`; until then this does not compile. */
#define _GNU_SOURCE

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grist_kernels.h"
#include "grist_tuning.h"

/* Best first, as the dispatcher has them. */
static const char *const instruction_sets[] = {
#if defined(__x86_64__)
    "avx512bf16", "avx512", "avxvnni", "avx2",
#elif defined(__aarch64__)
    "neon",
#endif
    "portable"};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* What is being checked. */

static const grist_kernel_table *kernels, *portable;
static const char *kernel_name;
static enum placement { kAtEnd, kAtStart, kOffAlignment, kPlacements } placement;
static const char *const placement_names[] = {"against the page behind", "against the page before", "off alignment"};
static char case_name[128];
static size_t failures; /* of this kernel and instruction set */

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  if (failures++ >= 5) return; /* the first few tell */
  va_list arguments;
  va_start(arguments, format);
  printf("     %s %s, %s, buffers %s: ", kernels->name, kernel_name, case_name, placement_names[placement]);
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

static void expect_near(const char *what, size_t index, double found, double expected, double tolerance) {
  if (!(fabs(found - expected) <= tolerance))
    fail("%s[%zu] is %.9g, should be %.9g within %.1e", what, index, found, expected, tolerance);
}

static void expect_equal(const char *what, size_t index, double found, double expected) {
  if (!(found == expected)) fail("%s[%zu] is %.9g, should be %.9g", what, index, found, expected);
}

/* Memory. */

enum { kUntouched = 0xa5, kUnwritten = 0xff /* NaN, -1 */, kMaxBuffers = 16 };

static struct buffer {
  const char *name;
  uint8_t *pages, *data; /* pages[0...mapped) with a guard page at each end */
  size_t mapped, bytes;
} buffers[kMaxBuffers];
static int buffer_count;

static void *place(const char *name, size_t count, size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = count * size;
  size_t mapped = (bytes + size + page - 1) / page * page + 2 * page;
  uint8_t *pages = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || buffer_count == kMaxBuffers) abort();
  memset(pages, kUntouched, mapped);
  if (mprotect(pages, page, PROT_NONE) != 0 || mprotect(pages + mapped - page, page, PROT_NONE) != 0) abort();
  uint8_t *data = placement == kAtEnd ? pages + mapped - page - bytes
                                      : pages + page + (placement == kOffAlignment ? size : 0);
  memset(data, kUnwritten, bytes);
  buffers[buffer_count++] = (struct buffer){name, pages, data, mapped, bytes};
  return data;
}

/* Makes an input of a filled buffer: from now on a write to it is caught too. */
static void seal(const void *data) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < buffer_count; i++)
    if (buffers[i].data == data) mprotect(buffers[i].pages + page, buffers[i].mapped - 2 * page, PROT_READ);
}

static void release_buffers(void) {
  while (buffer_count > 0) {
    struct buffer *b = &buffers[--buffer_count];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (uint8_t *byte = b->pages + page; byte < b->pages + b->mapped - page; byte++)
      if ((byte < b->data || byte >= b->data + b->bytes) && *byte != kUntouched) {
        fail("byte %td of %s was written, which has %zu", byte - b->data, b->name, b->bytes);
        break;
      }
    munmap(b->pages, b->mapped);
  }
}

__attribute__((format(printf, 1, 2))) static void begin_case(const char *format, ...) {
  release_buffers();
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(case_name, sizeof case_name, format, arguments);
  va_end(arguments);
}

/* Signals: a kernel that touches a guard page or has an instruction this CPU lacks fails; the others go on. */
static sigjmp_buf after_signal;
static volatile sig_atomic_t caught_signal;
static void *volatile caught_address;

static void catch_signal(int number, siginfo_t *information, void *context) {
  (void)context;
  caught_signal = number;
  caught_address = information->si_addr;
  siglongjmp(after_signal, 1);
}

static void explain_signal(void) {
  uint8_t *address = caught_address;
  for (int i = 0; caught_signal != SIGILL && i < buffer_count; i++) {
    struct buffer *b = &buffers[i];
    if (address < b->pages || address >= b->pages + b->mapped) continue;
    bool inside = address >= b->data && address < b->data + b->bytes;
    fail(inside ? "byte %td of the input %s (%zu bytes) was written" : "byte %td of %s was touched, which has %zu",
         address - b->data, b->name, b->bytes);
    return;
  }
  fail("%s", strsignal(caught_signal));
}

/* Numbers: reproducible, the same for every instruction set. */

static uint64_t random_state;

static uint64_t next_random(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/* About normally distributed. */
static float normal(void) {
  double sum = 0;
  for (int i = 0; i < 6; i++) sum += (double)(next_random() >> 11) * 0x1p-53 * 2 - 1;
  return (float)(sum / 1.4142135);
}

static float *normals(const char *name, size_t count, float spread) {
  float *x = place(name, count, sizeof *x);
  for (size_t i = 0; i < count; i++) x[i] = normal() * spread;
  return x;
}

static const float *sealed_normals(const char *name, size_t count, float spread) {
  float *x = normals(name, count, spread);
  seal(x);
  return x;
}

/* A copy that stays when the kernel works in place. */
static float *copy_of(const float *x, size_t count) {
  float *copy = malloc(count * sizeof *copy + 1);
  if (copy == NULL) abort();
  memcpy(copy, x, count * sizeof *copy);
  return copy;
}

static float float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static const double kEpsilon = 0x1p-24; /* the greatest relative error of rounding to f32 */

static const size_t counts[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 100, 577, 1030, 4096};
static const size_t groups_of[] = {64, 8, 128, 32};

#define EACH_COUNT(least)                                                                        \
  for (size_t c = 0, count = 0; c < LENGTH(counts) && (count = counts[c], true); c++)            \
    if (count < (least)) continue;                                                               \
    else

/* Conversions. */

typedef void conversion(const uint16_t *, float *, size_t);

static void check_conversion(conversion *convert, bool half) {
  for (size_t c = 0; c <= LENGTH(counts); c++) {
    size_t count = c < LENGTH(counts) ? counts[c] : 65536; /* the last has every bit pattern */
    begin_case("%zu values", count);
    uint16_t *source = place("source", count, sizeof *source);
    float *out = place("out", count, sizeof *out);
    for (size_t i = 0; i < count; i++) source[i] = (uint16_t)(count == 65536 ? i : next_random());
    seal(source);
    convert(source, out, count);
    for (size_t i = 0; i < count; i++) {
      float expected = half ? grist_float_from_half(source[i]) : float_from_bits((uint32_t)source[i] << 16);
      if (bits_of_float(out[i]) != bits_of_float(expected) && !(isnan(out[i]) && isnan(expected)))
        fail("0x%04x becomes %.9g, should be %.9g", source[i], out[i], expected);
    }
  }
}

static void check_float_from_half(void) { check_conversion(kernels->float_from_half, true); }
static void check_float_from_bfloat(void) { check_conversion(kernels->float_from_bfloat, false); }

static void check_half_from_float(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    float *source = place("source", count, sizeof *source);
    uint16_t *out = place("out", count, sizeof *out);
    /* Any bit pattern, or one about as large as halves are. */
    for (size_t i = 0; i < count; i++)
      source[i] =
          i % 4 == 0 ? float_from_bits((uint32_t)next_random()) : ldexpf(normal(), (int)(next_random() % 44) - 27);
    seal(source);
    kernels->half_from_float(source, out, count);
    for (size_t i = 0; i < count; i++) {
      uint16_t expected = grist_half_from_float(source[i]);
      bool both_nan = isnan(source[i]) && isnan(grist_float_from_half(out[i]));
      if (out[i] != expected && !both_nan) fail("%.9g becomes 0x%04x, should be 0x%04x", source[i], out[i], expected);
    }
  }
}

/* Dot products. */

static void expect_dot(size_t count, float found, const double *products) {
  double sum = 0, magnitudes = 0;
  for (size_t i = 0; i < count; i++) sum += products[i], magnitudes += fabs(products[i]);
  expect_near("dot", 0, found, sum, ((double)count / 32 + 8) * kEpsilon * magnitudes);
}

static void check_dot_float(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    const float *weights = sealed_normals("weights", count, 1), *x = sealed_normals("x", count, 1);
    double products[4096];
    for (size_t i = 0; i < count; i++) products[i] = (double)weights[i] * x[i];
    expect_dot(count, kernels->dot_float(weights, x, count), products);
  }
}

static void check_short_dot(float (*dot)(const uint16_t *, const float *, size_t), bool half) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    uint16_t *weights = place("weights", count, sizeof *weights);
    const float *x = sealed_normals("x", count, 1);
    double products[4096];
    for (size_t i = 0; i < count; i++) {
      float weight = normal();
      weights[i] = half ? grist_half_from_float(weight) : (uint16_t)(bits_of_float(weight) >> 16);
      float stored = half ? grist_float_from_half(weights[i]) : float_from_bits((uint32_t)weights[i] << 16);
      products[i] = (double)stored * x[i];
    }
    seal(weights);
    expect_dot(count, dot(weights, x, count), products);
  }
}

static void check_dot_half(void) { check_short_dot(kernels->dot_half, true); }
static void check_dot_bfloat(void) { check_short_dot(kernels->dot_bfloat, false); }

/* Integer products. */

static size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

static void check_activations(size_t columns, size_t group_size, float spread) {
  size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS), groups = round_up(columns, group_size) / group_size;
  begin_case("%zu columns in groups of %zu, about %g", columns, group_size, spread);
  float *x = normals("x", columns, spread);
  for (size_t i = group_size; i < columns && i < 2 * group_size; i++) x[i] = 0;
  seal(x);
  int8_t *codes = place("codes", padded, sizeof *codes);
  float *scales = place("scales", groups, sizeof *scales);
  int32_t *sums = place("sums", groups, sizeof *sums);
  kernels->quantize_activations(x, columns, group_size, codes, scales, sums);
  for (size_t group = 0; group < groups; group++) {
    size_t start = group * group_size, end = start + group_size < columns ? start + group_size : columns;
    double greatest = 0;
    int32_t sum = 0;
    for (size_t i = start; i < end; i++) {
      greatest = fmax(greatest, fabs((double)x[i]));
      sum += codes[i];
    }
    expect_near("scales", group, scales[group], greatest / 127, greatest * 2 * kEpsilon);
    expect_equal("sums", group, sums[group], sum);
    /* Half a step, and what multiplying by a rounded inverse may add at a tie. */
    for (size_t i = start; i < end; i++)
      expect_near("codes", i, codes[i], greatest > 0 ? x[i] * (127 / greatest) : 0, 0.5 + 127 * 4 * kEpsilon);
  }
  for (size_t i = columns; i < padded; i++) expect_equal("codes", i, codes[i], 0);
}

/* One value of a group that is not finite makes the group's scale NaN, and nothing else. */
static void check_activations_not_finite(size_t columns, size_t position, float value) {
  enum { kGroup = 32 };
  size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS), groups = round_up(columns, kGroup) / kGroup;
  begin_case("%zu columns, number %zu %g", columns, position, value);
  float *x = normals("x", columns, 1);
  x[position] = value;
  seal(x);
  int8_t *codes = place("codes", padded, sizeof *codes);
  float *scales = place("scales", groups, sizeof *scales);
  int32_t *sums = place("sums", groups, sizeof *sums);
  kernels->quantize_activations(x, columns, kGroup, codes, scales, sums);
  for (size_t group = 0; group < groups; group++)
    if (isnan(scales[group]) != (group == position / kGroup)) fail("scale of group %zu is %g", group, scales[group]);
  expect_equal("sum", position / kGroup, sums[position / kGroup], 0);
  for (size_t i = columns; i < padded; i++) expect_equal("codes", i, codes[i], 0);
}

static void check_quantize_activations(void) {
  EACH_COUNT(1) for (size_t g = 0; g < LENGTH(groups_of); g++) check_activations(count, groups_of[g], 1);
  check_activations(100, 64, 1e30f);
  check_activations(100, 64, 1e-30f);
  static const float not_finite[] = {NAN, -NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 4 * LENGTH(not_finite); i++)
    check_activations_not_finite(100, (size_t[]){0, 31, 50, 99}[i / 4], not_finite[i % 4]);
  /* So small that 127/greatest is no f32: codes or zeros, but never anything that is not finite. */
  begin_case("subnormal activations");
  float *x = place("x", 4, sizeof *x);
  x[0] = 0x1p-149f, x[1] = -0x1p-140f, x[2] = 0, x[3] = 0x1p-130f;
  seal(x);
  int8_t *codes = place("codes", 8, sizeof *codes);
  float *scale = place("scales", 1, sizeof *scale);
  int32_t *sum = place("sums", 1, sizeof *sum);
  kernels->quantize_activations(x, 4, 64, codes, scale, sum);
  for (size_t i = 0; i < 4; i++) expect_near("x again", i, (double)codes[i] * *scale, x[i], 1e-36);
}

static const struct shape {
  size_t rows, columns, tokens, group_size;
} shapes[] = {
    {16, 64, 1, 64}, {16, 64, 8, 64}, {1, 1, 1, 64}, {5, 7, 3, 32}, {17, 8, 9, 8}, {33, 48, 2, 24}, {16, 100, 17, 64},
    {37, 588, 5, 128}, {64, 128, 16, 32}, {16, 1024, 4, 64}, {20, 72, 12, 128}, {250, 344, 11, 64},
    {410, 1000, 9, 128}, /* more than the walk keeps in the second-level cache at once */
    {200, 328, 70, 128}, {70, 200, 33, 64}, {64, 136, 64, 64}, /* as many tokens as AVX2 has together, fewer and more, and fewer tiles in the end */
    {64, 4200, 9, 8}, /* more groups than AVX2 knows lengths of */
    {70, 72, 1, 64}, {120, 328, 1, 24}, /* as many tiles at a time as AVX2 takes of one token, and fewer */
};

enum pattern { kRandomCodes, kGreatestCodes, kLeastCodes, kRealNumbers };
static const char *const pattern_names[] = {"any codes", "greatest codes", "least codes", "real numbers"};

/* What 4-bit codes stand for while a check runs; NULL where they are their own values. The first two are what files have. The
   third has the greatest values there may be, next to each other: pairs of products must not saturate. So does the fourth of
   those that AVX2 takes for narrow; in each of the last two one value is too great for that. These three meet extremes alone. */
enum { kThoroughTables = 3 };
static const int8_t *table;
static const int8_t tables[][16] = {
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    {-32, -24, -19, -15, -11, -8, -5, -2, 0, 3, 6, 9, 12, 16, 21, 28},
    {-127, -126, -125, -124, -123, -122, -121, -120, 120, 121, 122, 123, 124, 125, 126, 127},
    {-32, -31, -30, -29, -28, -27, -26, -25, 25, 26, 27, 28, 29, 30, 31, 32},
    {-33, -25, -20, -16, -12, -9, -6, -3, 0, 3, 6, 9, 13, 17, 22, 32},
    {-32, -25, -20, -16, -12, -9, -6, -3, 0, 3, 6, 9, 13, 17, 22, 33},
};

/* The code of a tile's row and column, by the formula of Formats/grist-v1.md. */
static int code_at(const uint8_t *tile, size_t rows, size_t row, size_t column, int bits) {
  if (bits == 8) return (int8_t)tile[column / 4 * 4 * rows + 4 * row + column % 4];
  int byte = tile[column / 8 * 4 * rows + 4 * row + column % 4];
  int index = column % 8 < 4 ? byte & 15 : byte >> 4;
  return table != NULL ? table[index] : index - 8;
}

static uint8_t *random_codes(size_t bytes, int bits, enum pattern pattern) {
  uint8_t *codes = place("codes", bytes, 1);
  for (size_t i = 0; i < bytes; i++)
    codes[i] = pattern == kGreatestCodes ? (bits == 8 ? 0x7f : 0xff)
               : pattern == kLeastCodes  ? (bits == 8 ? 0x81 : 0x00)
               : bits == 8               ? (uint8_t)(next_random() % 255 - 127)
                                         : (uint8_t)next_random();
  seal(codes);
  return codes;
}

static uint16_t *random_scales(size_t count, enum pattern pattern) {
  uint16_t *scales = place("scales", count, sizeof *scales);
  for (size_t i = 0; i < count; i++) scales[i] = grist_half_from_float(pattern == kRealNumbers ? normal() * 0.1f : 1);
  seal(scales);
  return scales;
}

/* Of one token after the other, of the first and of the last two columns of four. 32 products of 31 and 32 lie within 16 bits, of
   32 and 32 no more. */
static const int greatest_activations[][2] = {{127, 127}, {31, 31}, {32, 32}, {127, 1}, {1, 127}};

/* With scales of one, all sums are integers below 2^24, which f32 holds: then the product must be exact. */
static void check_product(const struct shape *s, int bits, enum pattern pattern, bool has_bias) {
  size_t tiles = round_up(s->rows, GRIST_TILE_ROWS) / GRIST_TILE_ROWS;
  size_t padded = round_up(s->columns, GRIST_BLOCK_COLUMNS);
  size_t groups = round_up(s->columns, s->group_size) / s->group_size;
  size_t tile_bytes = padded * GRIST_TILE_ROWS * (size_t)bits / 8;
  begin_case("%zu rows, %zu columns in groups of %zu, %zu tokens, %s%s", s->rows, s->columns, s->group_size, s->tokens,
             pattern_names[pattern], has_bias ? ", bias" : "");
  bool real = pattern == kRealNumbers;
  const uint8_t *codes = random_codes(tiles * tile_bytes, bits, pattern);
  const uint16_t *scales = random_scales(tiles * groups * GRIST_TILE_ROWS, pattern);
  const float *bias = has_bias ? sealed_normals("bias", s->rows, 1) : NULL;
  int8_t *x = place("activations", s->tokens * padded, sizeof *x);
  float *x_scales = place("activation_scales", s->tokens * groups, sizeof *x_scales);
  int32_t *x_sums = place("activation_sums", s->tokens * groups, sizeof *x_sums);
  memset(x_sums, 0, s->tokens * groups * sizeof *x_sums);
  for (size_t i = 0; i < s->tokens * groups; i++) x_scales[i] = real ? fabsf(normal()) : 1;
  for (size_t token = 0; token < s->tokens; token++)
    for (size_t k = 0; k < padded; k++) {
      int greatest = greatest_activations[token % LENGTH(greatest_activations)][k % 4 / 2];
      bool extreme = pattern == kGreatestCodes || pattern == kLeastCodes;
      int code = extreme ? greatest : (int)(next_random() % (unsigned)(2 * greatest + 1)) - greatest;
      x[token * padded + k] = (int8_t)(k < s->columns ? code : 0);
      x_sums[token * groups + k / s->group_size] += x[token * padded + k];
    }
  seal(x), seal(x_scales), seal(x_sums);
  size_t stride = s->rows + 3;
  float *out = place("out", s->tokens * stride, sizeof *out);
  grist_tile_product product = {
      .codes = codes, .scales = scales, .table = bits == 4 ? table : NULL, .tiles = tiles, .columns = s->columns, .group_size = s->group_size,
      .rows = s->rows, .multiplier = real ? 0.37f : 1, .bias = bias, .activations = x, .activation_scales = x_scales,
      .activation_sums = x_sums, .tokens = s->tokens, .out = out, .out_stride = stride};
  (bits == 8 ? kernels->multiply_int8_tiles : kernels->multiply_int4_tiles)(&product);

  int8_t *row_codes = malloc(padded);
  if (row_codes == NULL) abort();
  for (size_t row = 0; row < s->rows; row++) {
    size_t tile = row / GRIST_TILE_ROWS, in_tile = row % GRIST_TILE_ROWS;
    for (size_t k = 0; k < padded; k++)
      row_codes[k] = (int8_t)code_at(codes + tile * tile_bytes, GRIST_TILE_ROWS, in_tile, k, bits);
    for (size_t token = 0; token < s->tokens; token++) {
      double sum = 0, magnitudes = 0;
      for (size_t group = 0; group < groups; group++) {
        size_t start = group * s->group_size, end = start + s->group_size < padded ? start + s->group_size : padded;
        int32_t dot = 0;
        for (size_t k = start; k < end; k++) dot += row_codes[k] * x[token * padded + k];
        double scale = grist_float_from_half(scales[(tile * groups + group) * GRIST_TILE_ROWS + in_tile]);
        double term = scale * x_scales[token * groups + group] * dot;
        sum += term, magnitudes += fabs(term);
      }
      double expected = sum * product.multiplier + (bias != NULL ? bias[row] : 0);
      double tolerance = (((double)groups + 4) * magnitudes * product.multiplier + 2 * fabs(expected)) * kEpsilon;
      expect_near("out", token * stride + row, out[token * stride + row], expected, real ? tolerance : 0);
    }
  }
  free(row_codes);
  for (size_t token = 0; token < s->tokens; token++)
    for (size_t i = s->rows; i < stride; i++)
      if (!isnan(out[token * stride + i])) fail("out[%zu], between two tokens' rows, was written", token * stride + i);
}

static void check_products(int bits, enum pattern first, enum pattern last) {
  for (size_t i = 0; i < LENGTH(shapes); i++)
    for (enum pattern pattern = first; pattern <= last; pattern++)
      check_product(&shapes[i], bits, pattern, pattern == kRealNumbers && i % 2 == 0);
}

static void check_multiply_int8_tiles(void) { check_products(8, kRandomCodes, kRealNumbers); }
static void check_multiply_int4_tiles(void) {
  check_products(4, kRandomCodes, kRealNumbers);
  for (size_t i = 0; i < LENGTH(tables); i++) {
    table = tables[i];
    if (i < kThoroughTables)
      check_products(4, kRandomCodes, kRealNumbers);
    else
      check_products(4, kGreatestCodes, kLeastCodes);
  }
  table = NULL;
}

static void check_tile_conversion(int bits, size_t tile_rows) {
  static const size_t columns_of[] = {1, 7, 8, 20, 64, 100, 588};
  for (size_t c = 0; c < LENGTH(columns_of); c++)
    for (size_t g = 0; g < LENGTH(groups_of); g++) {
      size_t columns = columns_of[c], group_size = groups_of[g], groups = round_up(columns, group_size) / group_size;
      begin_case("%zu columns in groups of %zu", columns, group_size);
      size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS);
      size_t first = tile_rows == 1 ? 0 : c % 3, rows = tile_rows - first - g % 2 * (tile_rows / 4);
      const uint8_t *codes = random_codes(padded * tile_rows * (size_t)bits / 8, bits, kRandomCodes);
      const uint16_t *scales = random_scales(groups * tile_rows, kRealNumbers);
      float *out = place("out", rows * columns, sizeof *out);
      grist_stored_tile tile = {
          .codes = codes, .scales = scales, .table = table, .bits = bits, .tile_rows = tile_rows, .columns = columns,
          .group_size = group_size, .multiplier = 0.5f};
      kernels->float_from_tile(&tile, first, rows, out);
      /* 11 bits of scale and 8 of code fit: exact. */
      for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < columns; k++)
          expect_equal("out", row * columns + k, out[row * columns + k],
                       0.5 * grist_float_from_half(scales[k / group_size * tile_rows + first + row]) *
                           code_at(codes, tile_rows, first + row, k, bits));
    }
}

static void check_float_from_tile(void) {
  for (size_t tile_rows = 1; tile_rows <= GRIST_TILE_ROWS; tile_rows += GRIST_TILE_ROWS - 1) {
    check_tile_conversion(8, tile_rows);
    check_tile_conversion(4, tile_rows);
    table = tables[0];
    check_tile_conversion(4, tile_rows);
    table = NULL;
  }
}

/* Wide tiles, where an instruction set has them. */

static const size_t wide_columns[] = {1, 8, 100, 256, 264, 588, 1024};

/* Each weight to within half a step of the scale that its row's greatest group scale allows, and what 16 bits cost. */
static void check_widening(size_t columns, size_t group_size) {
  begin_case("%zu columns in groups of %zu", columns, group_size);
  size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS), groups = round_up(columns, group_size) / group_size;
  size_t wide_groups = round_up(columns, GRIST_WIDE_GROUP) / GRIST_WIDE_GROUP;
  const uint8_t *codes = random_codes(padded * GRIST_TILE_ROWS / 2, 4, kRandomCodes);
  uint16_t *scales = place("scales", groups * GRIST_TILE_ROWS, sizeof *scales);
  for (size_t i = 0; i < groups * GRIST_TILE_ROWS; i++)
    scales[i] = i % GRIST_TILE_ROWS == 3 ? 0 : grist_half_from_float(normal() * 0.1f);
  if (columns == 100) scales[5] = 0x7c00, scales[7] = 0x7e00; /* infinity, and no number */
  seal(scales);
  uint8_t *wide = place("wide codes", padded * GRIST_TILE_ROWS, 1);
  float *wide_scales = place("wide_scales", wide_groups * GRIST_TILE_ROWS, sizeof *wide_scales);
  grist_stored_tile tile = {
      .codes = codes, .scales = scales, .table = table, .bits = 4, .tile_rows = GRIST_TILE_ROWS, .columns = columns,
      .group_size = group_size, .multiplier = 0.5f};
  kernels->widen_tile(&tile, wide, wide_scales);
  int greatest_value = 8;
  for (int i = 0; table != NULL && i < 16; i++) {
    if (i == 0) greatest_value = 1;
    if (abs(table[i]) > greatest_value) greatest_value = abs(table[i]);
  }
  for (size_t row = 0; row < GRIST_TILE_ROWS; row++)
    for (size_t wide_group = 0; wide_group < wide_groups; wide_group++) {
      double greatest = 0;
      bool finite = true;
      size_t per_wide = GRIST_WIDE_GROUP / group_size, first = wide_group * per_wide;
      for (size_t group = first; group < groups && group < first + per_wide; group++) {
        double scale = grist_float_from_half(scales[group * GRIST_TILE_ROWS + row]);
        finite = finite && isfinite(scale);
        greatest = fmax(greatest, fabs(scale));
      }
      size_t at = wide_group * GRIST_TILE_ROWS + row;
      double step = greatest * greatest_value / 127;
      if (!finite) {
        if (!isnan(wide_scales[at])) fail("wide_scales[%zu] is %g where a scale is not finite", at, (double)wide_scales[at]);
        continue;
      }
      expect_near("wide_scales", at, wide_scales[at], step, 2 * kEpsilon * step);
      for (size_t k = wide_group * GRIST_WIDE_GROUP; k < columns && k < (wide_group + 1) * GRIST_WIDE_GROUP; k++) {
        double weight = grist_float_from_half(scales[k / group_size * GRIST_TILE_ROWS + row]) *
                        code_at(codes, GRIST_TILE_ROWS, row, k, 4);
        int code = wide[k / 4 * 4 * GRIST_TILE_ROWS + 4 * row + k % 4] - 128;
        if (code < -127) fail("code %d of row %zu and column %zu", code, row, k);
        expect_near("weight", row * columns + k, code * step, weight, 0.51 * step);
      }
    }
}

static void check_widen_tile(void) {
  if (kernels->widen_tile == NULL) return;
  for (size_t t = 0; t <= LENGTH(tables); t++) {
    table = t < LENGTH(tables) ? tables[t] : NULL;
    for (size_t c = 0; c < LENGTH(wide_columns); c++)
      for (size_t g = 0; g < LENGTH(groups_of); g++) check_widening(wide_columns[c], groups_of[g]);
  }
  table = NULL;
}

static void check_widen_rows(void) {
  if (kernels->widen_rows == NULL) return;
  for (size_t c = 0; c < LENGTH(wide_columns); c++)
    for (size_t rows = 1; rows <= GRIST_TILE_ROWS; rows += 5) {
      size_t columns = wide_columns[c], padded = round_up(columns, GRIST_BLOCK_COLUMNS);
      size_t groups = round_up(columns, GRIST_WIDE_GROUP) / GRIST_WIDE_GROUP;
      begin_case("%zu rows of %zu columns", rows, columns);
      float *weights = normals("weights", rows * columns, 0.1f);
      if (columns == 588) weights[columns - 1] = INFINITY;
      seal(weights);
      uint8_t *wide = place("wide codes", padded * GRIST_TILE_ROWS, 1);
      float *scales = place("wide_scales", groups * GRIST_TILE_ROWS, sizeof *scales);
      kernels->widen_rows(weights, rows, columns, wide, scales);
      for (size_t row = 0; row < GRIST_TILE_ROWS; row++)
        for (size_t k = 0; k < padded; k++) {
          double scale = scales[k / GRIST_WIDE_GROUP * GRIST_TILE_ROWS + row];
          int code = wide[k / 4 * 4 * GRIST_TILE_ROWS + 4 * row + k % 4] - 128;
          if (columns == 588 && row == 0 && k / GRIST_WIDE_GROUP == 2) {
            if (!isnan(scale) || code != 0) fail("a value that is not finite gave %d times %g", code, scale);
            continue;
          }
          double greatest = 0;
          for (size_t i = k / GRIST_WIDE_GROUP * GRIST_WIDE_GROUP; i < columns && i / GRIST_WIDE_GROUP == k / GRIST_WIDE_GROUP; i++)
            if (row < rows) greatest = fmax(greatest, fabs((double)weights[row * columns + i]));
          expect_near("wide_scales", row, scale, greatest / 127, greatest * kEpsilon);
          double weight = row < rows && k < columns ? weights[row * columns + k] : 0;
          expect_near("weight", row * columns + k, code * scale, weight, 0.5001 * scale);
        }
    }
}

/* With scales of one, all sums are integers below 2^24: then the product must be exact. */
static void check_multiply_wide_tiles(void) {
  if (kernels->multiply_wide_tiles == NULL) return;
  for (size_t i = 0; i < 2 * LENGTH(shapes); i++) {
    struct shape s = shapes[i / 2];
    bool real = i % 2 == 1;
    s.columns *= 3; /* more than a group of many */
    size_t tiles = round_up(s.rows, GRIST_TILE_ROWS) / GRIST_TILE_ROWS, padded = round_up(s.columns, GRIST_BLOCK_COLUMNS);
    size_t groups = round_up(s.columns, GRIST_WIDE_GROUP) / GRIST_WIDE_GROUP;
    begin_case("%zu rows, %zu columns, %zu tokens%s", s.rows, s.columns, s.tokens, real ? ", real numbers" : "");
    uint8_t *codes = place("codes", tiles * padded * GRIST_TILE_ROWS, 1);
    for (size_t k = 0; k < tiles * padded * GRIST_TILE_ROWS; k++) codes[k] = (uint8_t)(1 + next_random() % 255);
    float *scales = place("wide_scales", tiles * groups * GRIST_TILE_ROWS, sizeof *scales);
    for (size_t k = 0; k < tiles * groups * GRIST_TILE_ROWS; k++) scales[k] = real ? normal() : 1;
    int8_t *x = place("activations", s.tokens * padded, sizeof *x);
    float *x_scales = place("activation_scales", s.tokens * groups, sizeof *x_scales);
    int32_t *x_sums = place("activation_sums", s.tokens * groups, sizeof *x_sums);
    memset(x_sums, 0, s.tokens * groups * sizeof *x_sums);
    for (size_t k = 0; k < s.tokens * groups; k++) x_scales[k] = real ? fabsf(normal()) : 1;
    for (size_t k = 0; k < s.tokens * padded; k++) {
      x[k] = (int8_t)(k % padded < s.columns ? (int)(next_random() % 255) - 127 : 0);
      x_sums[k / padded * groups + k % padded / GRIST_WIDE_GROUP] += x[k];
    }
    seal(codes), seal(scales), seal(x), seal(x_scales), seal(x_sums);
    size_t stride = s.rows + 3;
    float *out = place("out", s.tokens * stride, sizeof *out);
    grist_tile_product product = {
        .codes = codes, .wide_scales = scales, .tiles = tiles, .columns = s.columns, .group_size = GRIST_WIDE_GROUP,
        .rows = s.rows, .multiplier = real ? 0.37f : 1, .activations = x, .activation_scales = x_scales,
        .activation_sums = x_sums, .tokens = s.tokens, .out = out, .out_stride = stride};
    kernels->multiply_wide_tiles(&product);
    for (size_t row = 0; row < s.rows; row++)
      for (size_t token = 0; token < s.tokens; token++) {
        double sum = 0, magnitudes = 0;
        for (size_t group = 0; group < groups; group++) {
          int32_t dot = 0;
          for (size_t k = group * GRIST_WIDE_GROUP; k < padded && k < (group + 1) * GRIST_WIDE_GROUP; k++)
            dot += (codes[(row / GRIST_TILE_ROWS * padded + k / 4 * 4) * GRIST_TILE_ROWS + 4 * (row % GRIST_TILE_ROWS) + k % 4] - 128) *
                   x[token * padded + k];
          double term = (double)scales[(row / GRIST_TILE_ROWS * groups + group) * GRIST_TILE_ROWS + row % GRIST_TILE_ROWS] *
                        x_scales[token * groups + group] * dot;
          sum += term, magnitudes += fabs(term);
        }
        double tolerance = real ? ((double)groups + 6) * magnitudes * kEpsilon : 0;
        expect_near("out", token * stride + row, out[token * stride + row], sum * product.multiplier, tolerance);
      }
    for (size_t token = 0; token < s.tokens; token++)
      for (size_t k = s.rows; k < stride; k++)
        if (!isnan(out[token * stride + k])) fail("out[%zu], between two tokens' rows, was written", token * stride + k);
  }
}

/* Rotation. */

static void check_rotate_blocks(void) {
  for (size_t columns = 64; columns <= 256; columns += 64)
    for (int in_place = 0; in_place < 2; in_place++) {
      begin_case("%zu columns%s", columns, in_place ? ", in place" : "");
      float *x = normals("x", columns, 1), *given = copy_of(x, columns);
      float *out = in_place ? x : place("out", columns, sizeof *out);
      if (!in_place) seal(x);
      kernels->rotate_blocks(x, out, columns);
      for (size_t i = 0; i < columns; i++) {
        double expected = 0, magnitudes = 0;
        for (size_t k = 0; k < 64; k++) {
          double value = given[i / 64 * 64 + k] / 8;
          expected += __builtin_popcountll(k & i % 64) % 2 == 0 ? value : -value;
          magnitudes += fabs(value);
        }
        expect_near("out", i, out[i], expected, 6 * kEpsilon * magnitudes);
      }
      free(given);
    }
}

/* Attention. */

static const struct sequence {
  size_t count, length, first_seen, seen_step, dimension, greatest_count, window;
} sequences[] = {
    {1, 1, 1, 0, 1, 1}, {1, 5, 5, 0, 16, 1}, {1, 300, 300, 0, 128, 1}, {3, 70, 68, 1, 20, 3}, {4, 33, 1, 1, 80, 4},
    {40, 9, 9, 0, 64, 40}, {5, 17, 13, 1, 33, 5}, {7, 64, 64, 0, 64, 7}, {65, 65, 1, 1, 80, 65},
    {193, 130, 2, 1, 7, 193}, {20, 200, 100, 5, 128, 20}, {194, 150, 150, 0, 24, 194}, {6, 20, 30, 1, 48, 6},
    /* A last block of few queries under scratch made for the blocks before it. */
    {1, 40000, 40000, 0, 32, 192}, {4, 36865, 36865, 0, 32, 192}, {1, 40, 40, 0, 8, 5}, {3, 17, 17, 0, 1, 192},
    /* Windows: of one key, of less and more than a block of keys, wider than all that is seen. */
    {1, 300, 300, 0, 128, 1, 1}, {3, 70, 68, 1, 20, 3, 30}, {4, 33, 1, 1, 80, 4, 2}, {65, 65, 1, 1, 80, 65, 1},
    {193, 193, 1, 1, 7, 193, 5}, {194, 600, 407, 1, 24, 194, 100}, {194, 600, 407, 1, 24, 194, 129},
    {200, 700, 501, 1, 33, 200, 400}, {300, 300, 1, 1, 16, 300, 500}, {20, 9, 3, 1, 64, 20, 4}, {40, 200, 200, 0, 8, 40, 70},
};

/* Codes of rows of keys or values, and the rows' scales. */
static void *random_code_rows(const char *name, size_t rows, size_t width, size_t stride, const float **scales, double *exact) {
  int8_t *codes = place(name, (rows - 1) * stride + width, 1);
  float *factors = place("scales", rows, sizeof *factors);
  for (size_t row = 0; row < rows; row++) {
    factors[row] = 0.02f * normal();
    for (size_t i = 0; i < width; i++) {
      codes[row * stride + i] = (int8_t)(next_random() % 255 - 127);
      exact[row * width + i] = (double)codes[row * stride + i] * factors[row];
    }
  }
  seal(codes);
  seal(factors);
  *scales = factors;
  return codes;
}

/* The nearest value that bf16 has, but for ties. */
static float bfloat_near(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x8000) & 0xffff0000;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Rows of queries, keys or values, of bf16's where `narrow` says so. What lies between them is NaN, so that nothing can be
   made of it. */
static void *random_rows(
    const char *name, size_t rows, size_t width, size_t stride, bool half, bool narrow, double *exact) {
  size_t count = (rows - 1) * stride + width;
  float *floats = half ? NULL : place(name, count, sizeof *floats);
  uint16_t *halves = half ? place(name, count, sizeof *halves) : NULL;
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < width; i++) {
      float value = narrow ? bfloat_near(normal()) : normal();
      uint16_t bits = grist_half_from_float(value);
      if (half) halves[row * stride + i] = bits;
      else floats[row * stride + i] = value;
      exact[row * width + i] = half ? grist_float_from_half(bits) : value;
    }
  seal(half ? (void *)halves : floats);
  return half ? (void *)halves : floats;
}

/* Where the kernel may narrow, values of f32 and queries are such as bf16 has, so that scores must be as exact as ever and
   only weights lose; f16 and codes lose of keys and values too. */
static void check_sequence(const struct sequence *s, enum grist_kept kept, bool narrow) {
  static const char *const names[] = {"f32", "f16", "int8"};
  begin_case("%zu queries, %zu keys in %s%s, %zu values a row, seen %zu + %zu a query, window %zu", s->count, s->length,
             names[kept], narrow ? " narrowed" : "", s->dimension, s->first_seen, s->seen_step, s->window);
  size_t width = s->dimension, gap = 3;
  double *memory = malloc((s->count * width + 2 * s->length * width + s->length) * sizeof *memory);
  if (memory == NULL) abort();
  double *q = memory, *k = q + s->count * width, *v = k + s->length * width, *weights = v + s->length * width;
  size_t scratch_count = kernels->attention_scratch(width, s->greatest_count, s->length);
  size_t out_stride = width + gap;
  float *out = place("out", s->count * out_stride, sizeof *out);
  const float *key_scales = NULL, *value_scales = NULL;
  bool is_half = kept == GRIST_KEPT_HALF, is_coded = kept == GRIST_KEPT_CODES;
  const void *keys = is_coded ? random_code_rows("keys", s->length, width, width + gap, &key_scales, k)
                              : random_rows("keys", s->length, width, width + gap, is_half, narrow, k);
  const void *values = is_coded ? random_code_rows("values", s->length, width, width + gap, &value_scales, v)
                                : random_rows("values", s->length, width, width + gap, is_half, narrow, v);
  grist_attention attention = {
      .queries = random_rows("queries", s->count, width, width + 1, false, narrow, q), .query_stride = width + 1,
      .count = s->count, .keys = keys, .values = values, .key_stride = width + gap, .kept = kept,
      .key_scales = key_scales, .value_scales = value_scales,
      .length = s->length, .first_seen = s->first_seen, .seen_step = s->seen_step, .window = s->window, .dimension = width,
      .scale = narrow ? 0.25f : 2 / sqrtf((float)width), .may_narrow = narrow, .out = out, .out_stride = out_stride,
      .scratch = place("scratch", scratch_count, sizeof(float))};
  kernels->attend(&attention);
  for (size_t query = 0; query < s->count; query++) {
    size_t seen = s->first_seen + query * s->seen_step;
    if (seen > s->length) seen = s->length;
    size_t hidden = s->window == 0 || seen < s->window ? 0 : seen - s->window;
    double greatest = -INFINITY, sum = 0, slack = 0;
    for (size_t key = hidden; key < seen; key++) {
      double score = 0, magnitudes = 0;
      for (size_t i = 0; i < width; i++) {
        score += q[query * width + i] * k[key * width + i];
        magnitudes += fabs(q[query * width + i] * k[key * width + i]);
      }
      weights[key] = score * attention.scale;
      greatest = fmax(greatest, weights[key]);
      slack = fmax(slack, magnitudes * attention.scale);
    }
    for (size_t key = hidden; key < seen; key++) sum += weights[key] = exp(weights[key] - greatest);
    for (size_t i = 0; i < width; i++) {
      double expected = 0, magnitudes = 0;
      for (size_t key = hidden; key < seen; key++) {
        expected += weights[key] / sum * v[key * width + i];
        magnitudes += weights[key] / sum * fabs(v[key * width + i]);
      }
      /* An error in a score is a relative error of its weight. */
      double error = (16 + (double)seen / 16 + 4 * slack) * kEpsilon;
      if (narrow) error += (kept == GRIST_KEPT_FLOAT ? 1 : 2 + slack) * 0x1p-8;
      expect_near("out", query * out_stride + i, out[query * out_stride + i], expected, error * magnitudes);
    }
    for (size_t i = width; i < out_stride; i++)
      if (!isnan(out[query * out_stride + i])) fail("out, behind the row of query %zu, was written", query);
  }
  free(memory);
}

static void check_attend(void) {
  for (size_t i = 0; i < LENGTH(sequences); i++) {
    for (int narrow = 0; narrow < 2; narrow++) {
      check_sequence(&sequences[i], GRIST_KEPT_FLOAT, narrow);
      check_sequence(&sequences[i], GRIST_KEPT_HALF, narrow);
      check_sequence(&sequences[i], GRIST_KEPT_CODES, narrow);
    }
  }
}

/* That it is enough, check_attend sees. */
static void check_attention_scratch(void) {
  for (size_t i = 0; i < LENGTH(sequences); i++) {
    const struct sequence *s = &sequences[i];
    begin_case("%zu queries, %zu keys, %zu values a row", s->count, s->length, s->dimension);
    size_t floats = kernels->attention_scratch(s->dimension, s->greatest_count, s->length);
    for (size_t count = 1; count <= s->greatest_count; count++)
      if (kernels->attention_scratch(s->dimension, count, s->length) > floats) fail("more for only %zu queries", count);
    if (floats < 1 || floats > 512 * (s->dimension + 64) + s->length) fail("%zu floats of scratch memory", floats);
  }
}

/* Norms and softmax. */

static void check_rms_norm(void) {
  EACH_COUNT(1) {
    begin_case("%zu values", count);
    const float *x = sealed_normals("x", count, 1), *weight = sealed_normals("weight", count, 1);
    float *out = place("out", count, sizeof *out);
    kernels->rms_norm(x, weight, 1e-5f, out, count);
    double squares = 0;
    for (size_t i = 0; i < count; i++) squares += (double)x[i] * x[i];
    for (size_t i = 0; i < count; i++) {
      double expected = x[i] / sqrt(squares / (double)count + 1e-5) * weight[i];
      expect_near("out", i, out[i], expected, 1e-5 * fabs(expected));
    }
  }
}

static void check_layer_norm(void) {
  EACH_COUNT(1) {
    begin_case("%zu values", count);
    const float *x = sealed_normals("x", count, 1), *weight = sealed_normals("weight", count, 1);
    const float *bias = sealed_normals("bias", count, 1);
    float *out = place("out", count, sizeof *out);
    kernels->layer_norm(x, weight, bias, 1e-5f, out, count);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < count; i++) mean += x[i] / (double)count;
    for (size_t i = 0; i < count; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)count;
    for (size_t i = 0; i < count; i++)
      expect_near("out", i, out[i], (x[i] - mean) / sqrt(variance + 1e-5) * weight[i] + bias[i], 2e-5);
  }
}

static void check_softmax(void) {
  EACH_COUNT(1) {
    begin_case("%zu values", count);
    float *x = normals("x", count, 20);
    /* A few so far above the rest that, unless their maximum is found, their sum is infinite. */
    for (size_t i = 0; c % 3 != 0 && i < count && i < 5; i++) x[c % 3 == 1 ? i : count - 1 - i] = 200;
    float *given = copy_of(x, count);
    kernels->softmax(x, count);
    double greatest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) greatest = fmax(greatest, given[i]);
    for (size_t i = 0; i < count; i++) sum += exp(given[i] - greatest);
    for (size_t i = 0; i < count; i++) {
      double expected = exp(given[i] - greatest) / sum;
      expect_near("x", i, x[i], expected, 1e-5 * expected + 1e-37);
    }
    free(given);
  }
  EACH_COUNT(1) for (size_t payload = 0; payload < 3; payload++) {
    begin_case("%zu values, one not a number", count);
    float *x = normals("x", count, 1);
    uint32_t bits = (uint32_t[]){0x7fc00000, 0xffc00001, 0x7fffffff}[payload];
    memcpy(x + next_random() % count, &bits, sizeof bits);
    kernels->softmax(x, count);
    for (size_t i = 0; i < count; i++)
      if (!isnan(x[i])) fail("x[%zu] is %g", i, x[i]);
  }
}

/* Elementwise. */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* In place, on values from far below to far above zero. */
static void check_in_place(void (*kernel)(float *, size_t), double (*exact)(double), double tolerance) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    float *x = place("x", count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = i % 3 == 0 ? normal() * 40 : normal() * 3;
    static const float special[] = {0, -0.0f, 1e-30f, -1e-30f, 3e4f, -3e4f};
    for (size_t i = 0; i < LENGTH(special) && i < count / 8; i++) x[8 * i + 5] = special[i];
    float *given = copy_of(x, count);
    kernel(x, count);
    for (size_t i = 0; i < count; i++)
      expect_near("x", i, x[i], exact(given[i]), tolerance * (1 + fabs(exact(given[i]))));
    free(given);
  }
}

static double exact_quick_gelu(double x) { return x * sigmoid(1.702 * x); }
static double exact_gelu(double x) { return x * 0.5 * (1 + erf(x / sqrt(2))); }
static double exact_relu(double x) { return x > 0 ? x : 0; }

static void check_quick_gelu(void) { check_in_place(kernels->quick_gelu, exact_quick_gelu, 2e-6); }
static void check_gelu(void) { check_in_place(kernels->gelu, exact_gelu, 2e-6); }
static void check_relu(void) { check_in_place(kernels->relu, exact_relu, 0); }

static void check_silu_multiply(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    float *gate = normals("gate", count, 30);
    const float *up = sealed_normals("up", count, 1);
    float *given = copy_of(gate, count);
    kernels->silu_multiply(gate, up, count);
    for (size_t i = 0; i < count; i++) {
      double expected = given[i] * sigmoid(given[i]) * up[i];
      expect_near("gate", i, gate[i], expected, 3e-6 * (1 + fabs(expected)));
    }
    free(given);
  }
}

static void check_add(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    float *x = normals("x", count, 1);
    const float *y = sealed_normals("y", count, 1);
    float *given = copy_of(x, count);
    kernels->add(x, y, count);
    for (size_t i = 0; i < count; i++) expect_equal("x", i, x[i], given[i] + y[i]);
    free(given);
  }
}

static void check_axpy(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    float *y = normals("y", count, 1);
    const float *x = sealed_normals("x", count, 1);
    float *given = copy_of(y, count);
    kernels->axpy(0.3f, x, y, count);
    for (size_t i = 0; i < count; i++) {
      double product = (double)0.3f * x[i];
      expect_near("y", i, y[i], given[i] + product, 2 * kEpsilon * (fabs(given[i]) + fabs(product)));
    }
    free(given);
  }
}

static void check_rotate_half(void) {
  EACH_COUNT(0) {
    begin_case("%zu pairs", count);
    float *head = normals("head", 2 * count, 1);
    float *cosines = place("cos", count, sizeof *cosines), *sines = place("sin", count, sizeof *sines);
    for (size_t i = 0; i < count; i++) {
      double angle = normal() * 100;
      cosines[i] = (float)cos(angle), sines[i] = (float)sin(angle);
    }
    seal(cosines), seal(sines);
    float *given = copy_of(head, 2 * count);
    kernels->rotate_half(head, cosines, sines, count);
    for (size_t i = 0; i < count; i++) {
      double low = given[i], high = given[i + count], tolerance = 3 * kEpsilon * (fabs(low) + fabs(high));
      expect_near("head", i, head[i], low * cosines[i] - high * sines[i], tolerance);
      expect_near("head", i + count, head[i + count], high * cosines[i] + low * sines[i], tolerance);
    }
    free(given);
  }
}

/* Quantization of weights. */

/* The squared error of plain rounding, which the search for a scale must not exceed. */
static double plain_error(const float *weights, size_t count, int greatest_code) {
  double greatest = 0, error = 0;
  for (size_t i = 0; i < count; i++) greatest = fmax(greatest, fabs((double)weights[i]));
  if (greatest == 0) return 0;
  for (size_t i = 0; i < count; i++) {
    double step = greatest / greatest_code, difference = weights[i] - step * nearbyint(weights[i] / step);
    /* Rounding a scale to f16 costs this much more. */
    error += difference * difference + (double)weights[i] * weights[i] * 0x1p-22;
  }
  return error;
}

static void check_rows(size_t rows, size_t columns, size_t group_size, int bits, float prescale, size_t tile_rows) {
  size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS), groups = round_up(columns, group_size) / group_size;
  size_t tiles = round_up(rows, tile_rows) / tile_rows, tile_bytes = padded * tile_rows * (size_t)bits / 8;
  begin_case("%zu rows, %zu columns in groups of %zu, %d bits, tiles of %zu, prescale %g", rows, columns, group_size,
             bits, tile_rows, prescale);
  float *weights = normals("weights", rows * columns, 1 / prescale);
  for (size_t i = group_size; i < columns && i < 2 * group_size; i++) weights[i] = 0; /* of the first row */
  seal(weights);
  uint8_t *codes = place("codes", tiles * tile_bytes, 1);
  uint8_t *other_codes = place("codes of the portable kernel", tiles * tile_bytes, 1);
  uint16_t *scales = place("scales", tiles * groups * tile_rows, sizeof *scales);
  uint16_t *other_scales = place("scales of the portable kernel", tiles * groups * tile_rows, sizeof *scales);
  double row_errors[16] = {0};
  double error = kernels->quantize_rows(
      weights, rows, columns, group_size, bits, prescale, tile_rows, codes, scales, row_errors);
  double other_error = portable->quantize_rows(
      weights, rows, columns, group_size, bits, prescale, tile_rows, other_codes, other_scales, NULL);

  double expected = 0, plain = 0, before = 0;
  for (size_t row = 0; row < tiles * tile_rows; row++) {
    const uint8_t *tile = codes + row / tile_rows * tile_bytes;
    const uint16_t *tile_scales = scales + row / tile_rows * groups * tile_rows;
    const float *from = weights + row * columns;
    size_t in_tile = row % tile_rows, used = row < rows ? columns : 0; /* all else is padding */
    for (size_t k = 0; k < padded; k++) {
      int code = code_at(tile, tile_rows, in_tile, k, bits);
      double scale = grist_float_from_half(tile_scales[k / group_size * tile_rows + in_tile]) / (double)prescale;
      if (bits == 8 && code == -128) fail("code[%zu] of row %zu is -128", k, row);
      if (k >= used || from[k] == 0) expect_equal("code of nothing", row * padded + k, code, 0);
      if (row >= rows) expect_equal("scale of a missing row", row, scale, 0);
      if (row == 0 && k / group_size == 1 && k < columns) expect_equal("scale of zeros", k, scale, 0);
      if (k < used) expected += (from[k] - code * scale) * (from[k] - code * scale);
    }
    if (row < rows)
      expect_near(
          "squared error of a row", row, row_errors[row], expected - before, 1e-3 * expected + 1e-12 / prescale / prescale);
    before = expected;
    for (size_t start = 0; start < used; start += group_size)
      plain += plain_error(
          from + start, start + group_size < columns ? group_size : columns - start, bits == 8 ? 127 : 7);
  }
  expect_near("squared error", 0, error, expected, 1e-3 * expected + 1e-12 / prescale / prescale);
  /* A file does not tell which CPU made it: every instruction set gives the same bytes, to the last. */
  if (memcmp(codes, other_codes, tiles * tile_bytes) != 0) fail("codes are not those of the portable kernel");
  if (memcmp(scales, other_scales, tiles * groups * tile_rows * sizeof *scales) != 0)
    fail("scales are not those of the portable kernel");
  expect_equal("squared error against the portable kernel's", 0, error, other_error);
  if (error > 1.02 * plain) fail("the squared error is %.4g, that of plain rounding %.4g", error, plain);
}

static void check_quantize_rows(void) {
  static const size_t columns_of[] = {1, 7, 8, 20, 64, 100, 588}, rows_of[] = {16, 1, 5, 15};
  for (int bits = 4; bits <= 8; bits += 4)
    for (size_t c = 0; c < LENGTH(columns_of); c++)
      for (size_t g = 0; g < LENGTH(groups_of); g++) {
        check_rows(rows_of[(c + g) % LENGTH(rows_of)], columns_of[c], groups_of[g], bits, 1, GRIST_TILE_ROWS);
        check_rows(rows_of[(c + g + 1) % LENGTH(rows_of)], columns_of[c], groups_of[g], bits, 0x1p20f, 1);
      }
}

/* The squared error of stored codes, weighed by second moments F*D*Ft with D the importance and F unit upper triangular: window by
   window, or over all columns when `window` is their count. */
static double weighed_error(const float *weights, const uint8_t *codes, const uint16_t *scales, size_t rows, size_t columns,
                            size_t group_size, const float *coefficients, size_t window, const float *importance) {
  double total = 0;
  for (size_t row = 0; row < rows; row++) {
    double lost[1024];
    for (size_t column = 0; column < columns; column++) {
      double scale = grist_float_from_half(scales[column / group_size * GRIST_TILE_ROWS + row]);
      lost[column] = weights[row * columns + column] - scale * code_at(codes, GRIST_TILE_ROWS, row, column, 4);
      double sum = lost[column];
      for (size_t i = column / window * window; i < column; i++) sum += coefficients[i * window + column % window] * lost[i];
      total += importance[column] * sum * sum;
    }
  }
  return total;
}

/* The share of columns that another code of `table` would suit better, all others as they are, by the same weighed error. */
static double unsettled_share(const float *weights, const uint8_t *codes, const uint16_t *scales, size_t rows, size_t columns,
                              size_t group_size, const float *coefficients, size_t window, const float *importance) {
  size_t unsettled = 0;
  for (size_t row = 0; row < rows; row++) {
    double lost[1024], missed[1024];
    for (size_t k = 0; k < columns; k++) {
      double scale = grist_float_from_half(scales[k / group_size * GRIST_TILE_ROWS + row]);
      missed[k] = lost[k] = weights[row * columns + k] - scale * code_at(codes, GRIST_TILE_ROWS, row, k, 4);
      for (size_t i = k / window * window; i < k; i++) missed[k] += coefficients[i * window + k % window] * lost[i];
    }
    for (size_t k = 0; k < columns; k++) {
      double slope = importance[k] * missed[k], curvature = importance[k];
      for (size_t next = k + 1; next < columns && next / window == k / window; next++) {
        double share = coefficients[k * window + next % window];
        slope += importance[next] * share * missed[next];
        curvature += importance[next] * share * share;
      }
      double scale = grist_float_from_half(scales[k / group_size * GRIST_TILE_ROWS + row]);
      double stored = scale * code_at(codes, GRIST_TILE_ROWS, row, k, 4), wanted = stored + slope / curvature;
      for (int code = 0; code < 16; code++)
        if (fabs(scale * table[code] - wanted) < 0.999 * fabs(stored - wanted)) {
          unsettled++;
          break;
        }
    }
  }
  return (double)unsettled / (double)(rows * columns);
}

/* The least squared error of a group over a fine grid of scales on either side, the table's least value its greatest in magnitude. */
static double dense_table_error(const float *weights, size_t count) {
  double greatest = 0, least = INFINITY;
  for (size_t i = 0; i < count; i++) greatest = fmax(greatest, fabs((double)weights[i]));
  if (greatest == 0) return 0;
  for (int trial = -300; trial <= 300; trial++) {
    double scale = (trial < 0 ? -1 : 1) * greatest / -table[0] * (0.7 + 0.6 * abs(trial) / 300.0), error = 0;
    for (size_t i = 0; i < count; i++) {
      double nearest = INFINITY;
      for (int code = 0; code < 16; code++) nearest = fmin(nearest, fabs(weights[i] - scale * table[code]));
      error += nearest * nearest;
    }
    least = fmin(least, error);
  }
  return least;
}

/* Stores rows at once; or window by window, what was lost carried on through `all` coefficients [columns][columns]. */
static double run_table_rows(const grist_kernel_table *table, struct grist_table_rows job, const float *all, uint8_t *codes, uint16_t *scales) {
  job.codes = codes;
  job.scales = scales;
  if (all == NULL) return table->quantize_table_rows(&job);
  float *lost = place("lost", job.rows * job.columns, sizeof *lost);
  float *carried = place("carried", job.rows * GRIST_MAX_GROUP, sizeof *carried);
  job.lost = lost;
  job.carried = carried;
  double error = 0;
  for (size_t end = job.columns; job.first < end; job.first += GRIST_MAX_GROUP) {
    job.end = job.first + GRIST_MAX_GROUP < end ? job.first + GRIST_MAX_GROUP : end;
    for (size_t row = 0; row < job.rows; row++)
      for (size_t k = 0; k < GRIST_MAX_GROUP; k++) {
        float sum = 0;
        for (size_t i = 0; i < job.first && job.first + k < end; i++) sum += lost[row * end + i] * all[i * end + job.first + k];
        carried[row * GRIST_MAX_GROUP + k] = sum;
      }
    error += table->quantize_table_rows(&job);
  }
  return error;
}

/* Squared errors of all that was stored without correlated inputs, and those that a dense search leaves: a few trial scales miss
   the best one of a single narrow group by much, of many by little. */
static struct {
  double found, dense;
} searched;

static void check_table_rows(
    size_t rows, size_t columns, size_t group_size, float prescale, size_t tile_rows, int fed, size_t window) {
  size_t padded = round_up(columns, GRIST_BLOCK_COLUMNS), groups = round_up(columns, group_size) / group_size;
  size_t tiles = round_up(rows, tile_rows) / tile_rows, tile_bytes = padded * tile_rows / 2;
  begin_case("%zu rows, %zu columns in groups of %zu, windows of %zu, tiles of %zu, prescale %g%s", rows, columns, group_size, window,
             tile_rows, prescale, fed == 2 ? ", correlated inputs" : fed == 1 ? ", inputs of one kind" : "");
  float *weights = normals("weights", rows * columns, 1 / prescale);
  for (size_t i = group_size; i < columns && i < 2 * group_size && fed == 0; i++) weights[i] = 0; /* of the first row */
  seal(weights);
  bool whole = window > GRIST_MAX_GROUP; /* feedback reaches beyond windows too */
  size_t near = whole ? GRIST_MAX_GROUP : window;
  float *all = fed > 0 ? place("all coefficients", columns * window, sizeof *all) : NULL;
  float *coefficients = fed > 0 ? place("coefficients", columns * near, sizeof *coefficients) : NULL;
  float *importance = fed > 0 ? place("importance", columns, sizeof *importance) : NULL;
  for (size_t column = 0; column < columns && fed > 0; column++) {
    importance[column] = fed == 2 ? 0.5f + 0.01f * (float)(next_random() % 100) : 1;
    for (size_t k = 0; k < window; k++) {
      size_t own = column % window;
      float share = fed == 2 && k > own ? 0.3f * normal() / sqrtf(1 + (float)(k - own)) : 0;
      all[column * window + k] = share;
      if (k / near == own / near) coefficients[column * near + k % near] = share;
    }
  }
  if (fed > 0) {
    seal(coefficients);
    seal(importance);
  }
  uint8_t *codes = place("codes", tiles * tile_bytes, 1), *others = place("other codes", tiles * tile_bytes, 1);
  uint16_t *scales = place("scales", tiles * groups * tile_rows, sizeof *scales);
  uint16_t *other_scales = place("other scales", tiles * groups * tile_rows, sizeof *scales);
  struct grist_table_rows job = {
      .weights = weights, .rows = rows, .columns = columns, .end = columns, .group_size = group_size, .window = near,
      .table = table, .coefficients = coefficients, .importance = importance, .prescale = prescale, .tile_rows = tile_rows};
  double row_errors[16] = {0}, sum_of_rows = 0;
  job.row_errors = row_errors;
  double error = run_table_rows(kernels, job, whole ? all : NULL, codes, scales);
  job.row_errors = NULL;
  for (size_t row = 0; row < rows; row++) sum_of_rows += row_errors[row];
  expect_near("sum of the rows' squared errors", 0, sum_of_rows, error, 1e-9 * error);
  double other = run_table_rows(portable, job, whole ? all : NULL, others, other_scales);
  if (memcmp(codes, others, tiles * tile_bytes) != 0) fail("codes are not those of the portable kernel");
  if (memcmp(scales, other_scales, tiles * groups * tile_rows * sizeof *scales) != 0)
    fail("scales are not those of the portable kernel");
  expect_equal("squared error against the portable kernel's", 0, error, other);

  double expected = 0, dense = 0;
  for (size_t row = 0; row < rows; row++) {
    const uint16_t *tile_scales = scales + row / tile_rows * groups * tile_rows;
    const float *from = weights + row * columns;
    for (size_t k = 0; k < columns; k++) {
      int code = code_at(codes + row / tile_rows * tile_bytes, tile_rows, row % tile_rows, k, 4);
      double scale = grist_float_from_half(tile_scales[k / group_size * tile_rows + row % tile_rows]) / (double)prescale;
      if (fed == 0 && row == 0 && k / group_size == 1) expect_equal("scale of zeros", k, scale, 0);
      expected += (from[k] - code * scale) * (from[k] - code * scale);
    }
    for (size_t start = 0; start < columns && fed < 2; start += group_size)
      dense += dense_table_error(from + start, start + group_size < columns ? group_size : columns - start);
  }
  expect_near("squared error", 0, error, expected, 1e-3 * expected + 1e-12 / prescale / prescale);
  /* Feeding errors on makes the plain error greater, and the weighed one less. */
  if (fed < 2) {
    searched.found += expected * prescale * prescale;
    searched.dense += dense * prescale * prescale;
  }
  if (fed > 0 && tile_rows == GRIST_TILE_ROWS && prescale == 1) {
    job.coefficients = job.importance = NULL;
    run_table_rows(kernels, job, NULL, others, other_scales);
    double with = weighed_error(weights, codes, scales, rows, columns, group_size, all, window, importance);
    double without = weighed_error(weights, others, other_scales, rows, columns, group_size, all, window, importance);
    /* Where there is nothing to feed back, only a few more scales were tried. */
    if (fed == 1) expect_near("weighed error without anything to feed back", 0, with, without * 0.99, 0.010001 * without);
    if (fed == 2 && with > 0.9 * without) fail("the weighed error is %.4g, without feedback %.4g", with, without);
    double unsettled = unsettled_share(weights, codes, scales, rows, columns, group_size, all, window, importance);
    if (!whole && unsettled > 0.01) fail("other codes would suit %.1f %% of the columns better", 100 * unsettled);
  }
}

/* Errors are fed back in groups of these sizes. */
static void check_quantizing_by_table(size_t least_group, size_t greatest_group) {
  searched.found = searched.dense = 0;
  static const size_t columns_of[] = {1, 7, 8, 20, 64, 100, 588}, rows_of[] = {16, 1, 5, 15};
  for (size_t c = 0; c < LENGTH(columns_of); c++)
    for (size_t g = 0; g < LENGTH(groups_of); g++) {
      if (GRIST_MAX_GROUP % groups_of[g] != 0) continue;
      check_table_rows(rows_of[(c + g) % LENGTH(rows_of)], columns_of[c], groups_of[g], 1, GRIST_TILE_ROWS, 0, 64);
      check_table_rows(rows_of[(c + g + 1) % LENGTH(rows_of)], columns_of[c], groups_of[g], 0x1p20f, 1, 0, 64);
    }
  for (size_t group_size = least_group; group_size <= greatest_group; group_size *= 2)
    for (int fed = 1; fed <= 2; fed++) {
      check_table_rows(16, 64, group_size, 1, GRIST_TILE_ROWS, fed, 64);
      check_table_rows(5, 320, group_size, 1, GRIST_TILE_ROWS, fed, 64);
      check_table_rows(5, 192, group_size, 0x1p20f, 1, fed, 64);
      check_table_rows(16, 320, group_size, 1, GRIST_TILE_ROWS, fed, 128);
      check_table_rows(7, 448, group_size, 1, GRIST_TILE_ROWS, fed, 448);
    }
  if (searched.found > 1.01 * searched.dense)
    fail("the squared error of all is %.4g, that of a dense search %.4g", searched.found, searched.dense);
}

static void check_quantize_table_rows(void) {
  table = tables[0];
  check_quantizing_by_table(32, 128);
  table = tables[1];
  check_quantizing_by_table(64, 64);
  table = NULL;
}

/* Statistics. */

static void check_greatest_magnitude_bits(void) {
  static const float extremes[] = {0, -0.0f, -0x1p-149f, -3, 0x1.fffffep127f, -INFINITY, NAN};
  EACH_COUNT(0) for (size_t e = 0; e < 3 * LENGTH(extremes); e++) {
    float extreme = extremes[e / 3];
    size_t position = count == 0 || e % 3 == 0 ? 0 : e % 3 == 1 ? count - 1 : next_random() % count;
    begin_case("%zu values, number %zu %g", count, position, extreme);
    float *x = place("x", count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = fabsf(extreme) < 1 ? 0 : normal();
    if (count > 0) x[position] = extreme;
    seal(x);
    uint32_t expected = 0;
    for (size_t i = 0; i < count; i++)
      expected = (bits_of_float(x[i]) & 0x7fffffff) > expected ? bits_of_float(x[i]) & 0x7fffffff : expected;
    expect_equal("bits", 0, kernels->greatest_magnitude_bits(x, count), expected);
  }
}

static void check_greatest_magnitude_bits16(void) {
  EACH_COUNT(0) for (size_t e = 0; e < 3; e++) {
    size_t position = count == 0 || e == 0 ? 0 : e == 1 ? count - 1 : next_random() % count;
    begin_case("%zu values, number %zu the greatest", count, position);
    uint16_t *x = place("x", count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (uint16_t)(next_random() & 0xbfff);
    if (count > 0) x[position] |= 0xc000;
    seal(x);
    expect_equal("bits", 0, kernels->greatest_magnitude_bits16(x, count), count > 0 ? x[position] & 0x7fff : 0);
  }
}

static void check_sum_of_squares(void) {
  EACH_COUNT(0) {
    begin_case("%zu values", count);
    const float *x = sealed_normals("x", count, 1);
    double expected = 0;
    for (size_t i = 0; i < count; i++) expected += (double)x[i] * x[i];
    expect_near("sum", 0, kernels->sum_of_squares(x, count), expected, 1e-12 * expected);
  }
}

/* The dispatcher. */

/* Runs itself with GRISTMILL_ISA set, as the choice is made once in a process. */
static const char *choice_under(const char *limit) {
  static char chosen[32];
  int ends[2];
  fflush(stdout);
  if (pipe(ends) != 0) abort();
  pid_t child = fork();
  if (child == 0) {
    if (limit != NULL) setenv("GRISTMILL_ISA", limit, 1);
    else unsetenv("GRISTMILL_ISA");
    const char *name = grist_kernels()->name;
    _exit(write(ends[1], name, strlen(name) + 1) < 0);
  }
  close(ends[1]);
  ssize_t length = read(ends[0], chosen, sizeof chosen - 1);
  chosen[length > 0 ? length : 0] = 0;
  close(ends[0]);
  waitpid(child, NULL, 0);
  return chosen;
}

static size_t check_dispatch(void) {
  size_t wrong = 0;
  for (size_t i = 0; i < LENGTH(instruction_sets) + 2; i++) {
    const char *limit = i < LENGTH(instruction_sets)    ? instruction_sets[i]
                        : i == LENGTH(instruction_sets) ? "no such name"
                                                        : NULL;
    size_t expected = i < LENGTH(instruction_sets) ? i : 0;
#if defined(__x86_64__)
    /* Intel's CPUs take their attention in bf16 only where it is asked for. */
    if (i >= LENGTH(instruction_sets) && strcmp(grist_this_cpu().vendor, "GenuineIntel") == 0) expected = 1;
#endif
    while (grist_kernel_table_named(instruction_sets[expected]) == NULL) expected++;
    const char *chosen = choice_under(limit);
    if (strcmp(chosen, instruction_sets[expected]) == 0) continue;
    printf("     GRISTMILL_ISA=%s chooses %s, should choose %s\n", limit != NULL ? limit : "(unset)", chosen,
           instruction_sets[expected]);
    wrong++;
  }
  printf("%s %-12s  grist_kernels\n", wrong == 0 ? "ok  " : "FAIL", "every choice");
  return wrong != 0;
}

/* f16 in integers, which the checks above build upon, by its definition. */
static size_t check_halves(void) {
  size_t wrong = 0;
  for (int bits = 0; bits < 0x7c00; bits++) {
    double value = ldexp(bits < 0x400 ? bits : 0x400 + bits % 0x400, (bits < 0x400 ? 1 : bits / 0x400) - 25);
    float found = grist_float_from_half((uint16_t)bits), negative = grist_float_from_half((uint16_t)(0x8000 | bits));
    wrong += found != value || negative != -value || !signbit(negative) || grist_half_from_float(found) != bits;
  }
  wrong += grist_float_from_half(0x7c00) != INFINITY || !isnan(grist_float_from_half(0x7e00));
  wrong += !isnan(grist_float_from_half(grist_half_from_float(NAN)));
  random_state = 0;
  for (int i = 0; i < 100000; i++) {
    float value = ldexpf((float)(next_random() % 0x2000000), (int)(next_random() % 44) - 52);
    int exponent = value > 0 && ilogb(value) > -14 ? ilogb(value) : -14;
    double expected = value < 65520 ? ldexp(nearbyint(ldexp(value, 10 - exponent)), exponent - 10) : INFINITY;
    wrong += grist_float_from_half(grist_half_from_float(value)) != expected;
    wrong += grist_float_from_half(grist_half_from_float(-value)) != -expected;
  }
  printf("%s %-12s  grist_half\n", wrong == 0 ? "ok  " : "FAIL", "every set");
  return wrong != 0;
}

#define CHECK(kernel) {#kernel, check_##kernel}

static const struct {
  const char *name;
  void (*run)(void);
} checks[] = {
    CHECK(float_from_half), CHECK(half_from_float), CHECK(float_from_bfloat),
    CHECK(dot_float), CHECK(dot_half), CHECK(dot_bfloat),
    CHECK(quantize_activations), CHECK(multiply_int8_tiles), CHECK(multiply_int4_tiles),
    CHECK(widen_tile), CHECK(widen_rows), CHECK(multiply_wide_tiles),
    CHECK(float_from_tile),
    CHECK(rotate_blocks),
    CHECK(attend), CHECK(attention_scratch),
    CHECK(rms_norm), CHECK(layer_norm), CHECK(softmax),
    CHECK(silu_multiply), CHECK(quick_gelu), CHECK(gelu), CHECK(relu),
    CHECK(add), CHECK(axpy), CHECK(rotate_half),
    CHECK(quantize_rows), CHECK(quantize_table_rows), CHECK(greatest_magnitude_bits), CHECK(greatest_magnitude_bits16), CHECK(sum_of_squares),
};

enum { kOtherMembers = 4 }; /* name, int8_block_bytes, int4_block_bytes, tiles_together: each as wide as a function's address */
_Static_assert(
    LENGTH(checks) == sizeof(grist_kernel_table) / sizeof(void (*)(void)) - kOtherMembers, "a kernel of the table has no check");

static bool check_kernel(size_t index) {
  failures = 0;
  kernel_name = checks[index].name;
  for (placement = 0; placement < kPlacements; placement++) {
    random_state = index;
    if (sigsetjmp(after_signal, 1) == 0) {
      checks[index].run();
    } else {
      explain_signal();
    }
    release_buffers();
  }
  printf("%s %-12s  %s\n", failures == 0 ? "ok  " : "FAIL", kernels->name, kernel_name);
  return failures == 0;
}

/* Whether the arguments name it, or nothing. */
static bool is_wanted(const char *instruction_set, int argument_count, char **arguments) {
  for (int i = 1; i < argument_count; i++)
    if (strcmp(arguments[i], instruction_set) == 0) return true;
  return argument_count <= 1;
}

int main(int argument_count, char **arguments) {
  size_t red = 0, total = 2;
  for (int i = 1; i < argument_count; i++)
    if (grist_kernel_table_named(arguments[i]) == NULL) {
      printf("FAIL %-12s  is not offered\n", arguments[i]);
      red++;
    }
  red += check_dispatch() + check_halves();
  portable = grist_kernel_table_named("portable");
  struct sigaction action = {.sa_sigaction = catch_signal, .sa_flags = SA_SIGINFO};
  static const int signals[] = {SIGSEGV, SIGBUS, SIGILL};
  for (size_t i = 0; i < LENGTH(signals); i++) sigaction(signals[i], &action, NULL);
  for (size_t i = LENGTH(instruction_sets); i-- > 0;) {
    if (!is_wanted(instruction_sets[i], argument_count, arguments)) continue;
    kernels = grist_kernel_table_named(instruction_sets[i]);
    if (kernels == NULL) {
      printf("--   %-12s  not run: this CPU lacks it\n", instruction_sets[i]);
      continue;
    }
    for (size_t index = 0; index < LENGTH(checks); index++, total++) red += !check_kernel(index);
  }
  printf("%zu checks of kernels, %zu of them red\n", total, red);
  return red != 0;
}
