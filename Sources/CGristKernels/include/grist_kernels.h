/* The numeric kernels: one table of functions per instruction set, chosen at run time.

   Every kernel works on one thread; callers split the work. Pointers need only their element's alignment unless a
   comment says more. Integers are little-endian, floats IEEE 754. */
#ifndef GRIST_KERNELS_H
#define GRIST_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grist_pool.h"

enum {
  /* Rows in one weight tile. */
  GRIST_TILE_ROWS = 16,
  /* Columns come in blocks of this many; narrower matrices are padded with zero codes. */
  GRIST_BLOCK_COLUMNS = 8,
  /* The widest group. */
  GRIST_MAX_GROUP = 128,
  /* Columns that share a scale in wide tiles. */
  GRIST_WIDE_GROUP = 256,
  /* Values that a rotation turns together. */
  GRIST_ROTATION_BLOCK = 64,
};

/* One tile as it is stored: 16 rows, or 1 of what is looked up by row. See Formats/grist-v1.md, "Tiles". */
typedef struct {
  const uint8_t *codes;
  const uint16_t *scales; /* f16, per group tile_rows in a row */
  const int8_t *table; /* what int4 codes stand for; NULL where they are their own values */
  int bits;
  size_t tile_rows;
  size_t columns; /* unpadded */
  size_t group_size; /* a multiple of 8 */
  float multiplier; /* of every scale */
} grist_stored_tile;

/* Weights in tiles of 16 rows x int8 activations -> f32. See Formats/grist-v1.md, "Tiles".

   codes   int8: per 8 columns 128 bytes: twice 64 bytes, byte 4*row+i holding column k+i, then k+4+i.
           int4: per 8 columns 64 bytes: byte 4*row+i holding column k+i in the low and k+4+i in the high nibble,
           both biased by 8, or both indices of `table`.
   scales  f16, per tile and group sixteen in a row.

   out[token*out_stride + row] = multiplier * sum over groups of
       weight_scale * activation_scale * dot(codes, activation codes)  (+ bias[row] if bias is not NULL)
   for every row < rows; the padding rows of the last tile are computed and thrown away. */
typedef struct {
  const uint8_t *codes;
  const uint16_t *scales;
  const int8_t *table; /* what int4 codes stand for, 16 values but -128; NULL where they are their own values */
  size_t tiles;
  size_t columns; /* unpadded */
  size_t group_size; /* a multiple of 8 */
  size_t rows; /* rows to write, <= tiles*16 */
  float multiplier;
  const float *bias;
  const int8_t *activations; /* [tokens][padded columns], zero beyond `columns` */
  const float *activation_scales; /* [tokens][groups] */
  const int32_t *activation_sums; /* [tokens][groups], sums of the codes */
  size_t tokens;
  float *out;
  size_t out_stride;
  const float *wide_scales; /* of wide tiles, which have them instead of `scales`, per tile and group sixteen in a row */
} grist_tile_product;

/* How keys and values are kept: f32, f16, or int8 codes with a scale a row. */
enum grist_kept { GRIST_KEPT_FLOAT, GRIST_KEPT_HALF, GRIST_KEPT_CODES };

/* Attention of one head: out = softmax(scale * q·kᵀ)·v, summed in f32.

   Query i sees the first min(first_seen + i*seen_step, length) keys, or the last `window` of those; first_seen >= 1,
   seen_step is 1 for causal attention and 0 where every query sees the same. Rows are `dimension` values long. */
typedef struct {
  const float *queries; /* [count], query_stride floats apart */
  size_t query_stride;
  size_t count;
  const void *keys, *values; /* [length], key_stride elements apart */
  size_t key_stride;
  enum grist_kept kept;
  const float *key_scales, *value_scales; /* [length], of codes only */
  size_t length;
  size_t first_seen, seen_step;
  size_t window; /* 0 for no bound */
  size_t dimension;
  float scale;
  bool may_narrow; /* whether queries, keys, values and weights may be rounded to bf16 before they are multiplied */
  float *out; /* [count], out_stride floats apart */
  size_t out_stride;
  float *scratch; /* attention_scratch(dimension, at least count, length) floats of the caller's */
} grist_attention;

/* Up to 16 rows to be stored as int4 codes that index a table of 16 rising values, tiles and scales as `quantize_rows` makes them.

   Columns are rounded one after the other, and column k's loss (weight - stored, times prescale) is added, times
   coefficients[k * window + i], to the column i of its window, i > k. What losses of earlier windows add comes in `carried`. */
struct grist_table_rows {
  const float *weights; /* [rows][columns] */
  const float *carried; /* [rows][GRIST_MAX_GROUP], for at most that many columns; or NULL */
  size_t rows, columns;
  size_t first, end; /* the columns to store: whole windows and groups, or to the last */
  size_t group_size, window; /* divisors of GRIST_MAX_GROUP */
  const int8_t *table;
  const float *coefficients; /* [columns][window], or NULL for no feedback */
  const float *importance; /* [columns], weighs squared errors where scales are sought; or NULL */
  float prescale;
  size_t tile_rows; /* 16 or 1 */
  uint8_t *codes;
  uint16_t *scales;
  float *lost; /* [rows][columns], written for the columns stored; or NULL */
  double *row_errors; /* [rows], each row's squared errors are added; or NULL */
};

typedef struct {
  const char *name;

  void (*float_from_half)(const uint16_t *source, float *out, size_t count);
  void (*half_from_float)(const float *source, uint16_t *out, size_t count); /* to nearest even */
  void (*float_from_bfloat)(const uint16_t *source, float *out, size_t count);

  /* Dot product of `count` weights and f32 activations, summed in f32 in 32 interleaved partial sums. */
  float (*dot_float)(const float *weights, const float *x, size_t count);
  float (*dot_half)(const uint16_t *weights, const float *x, size_t count);
  float (*dot_bfloat)(const uint16_t *weights, const float *x, size_t count);

  /* One token: codes in [-127, 127] to nearest, scale = greatest magnitude / 127 per group (0 for an all-zero group; NaN,
     with codes of 0, where a value is not finite), sums of the codes. Codes are zero-padded to a multiple of 8 columns. */
  void (*quantize_activations)(
      const float *x, size_t columns, size_t group_size, int8_t *codes, float *scales, int32_t *sums);
  /* Bytes of codes that a product of several tokens should have: they stay in the second-level cache while all tokens meet
     them, or stream by tokens that do. */
  size_t int8_block_bytes, int4_block_bytes;
  /* Tiles that those products take at a time: one of fewer takes as long. */
  size_t tiles_together;
  void (*multiply_int8_tiles)(const grist_tile_product *product);
  void (*multiply_int4_tiles)(const grist_tile_product *product);

  /* Wide tiles: what weights become for the many rows of a batch, so that no group ends within 256 columns and nothing is
     looked up where rows are multiplied. Codes lie as int8's do, biased by 128; the scales, f32, leave the multiplier out. All
     three are NULL where an instruction set gains nothing by them.

     widen_tile   of stored int4 codes in groups that divide 256: each weight is rounded to 1/127 of the greatest that its row's
                  scales and the table allow within the 256 columns. A scale that is not finite makes the wide one NaN.
     widen_rows   of up to 16 rows [rows][columns] of f32: to 1/127 of the greatest magnitude, as activations are. */
  void (*widen_tile)(const grist_stored_tile *tile, uint8_t *codes, float *scales);
  void (*widen_rows)(const float *weights, size_t rows, size_t columns, uint8_t *codes, float *scales);
  void (*multiply_wide_tiles)(const grist_tile_product *product);

  /* x [columns] to out [columns], columns a multiple of 64: each 64 values times the Hadamard matrix of that size over 8,
     which is its own inverse. `out` may be `x`. */
  void (*rotate_blocks)(const float *x, float *out, size_t columns);

  /* `rows` rows of a tile from row `first` on to f32, out[row*columns + column]. */
  void (*float_from_tile)(const grist_stored_tile *tile, size_t first, size_t rows, float *out);

  void (*attend)(const grist_attention *attention);
  /* Floats of scratch that are enough for 1 ... greatest_count queries of `dimension` values on `length` keys. */
  size_t (*attention_scratch)(size_t dimension, size_t greatest_count, size_t length);

  void (*rms_norm)(const float *x, const float *weight, float epsilon, float *out, size_t count);
  void (*layer_norm)(
      const float *x, const float *weight, const float *bias, float epsilon, float *out, size_t count);
  /* In place, over `count` >= 1 values. */
  void (*softmax)(float *x, size_t count);
  void (*silu_multiply)(float *gate, const float *up, size_t count); /* gate = gate * sigmoid(gate) * up */
  void (*quick_gelu)(float *x, size_t count); /* x * sigmoid(1.702 x) */
  void (*gelu)(float *x, size_t count); /* x * (1 + erf(x / sqrt 2)) / 2 */
  void (*relu)(float *x, size_t count);
  void (*add)(float *x, const float *y, size_t count);
  void (*axpy)(float a, const float *x, float *y, size_t count); /* y += a * x */
  /* Rotates pairs (i, i + half) of one head by the angles of one position; cos and sin hold `half` values. */
  void (*rotate_half)(float *head, const float *cos, const float *sin, size_t half);

  /* Symmetric quantization of up to 16 rows [rows][columns] to int8 (codes in [-127, 127]) or int4 (codes in [-8, 7],
     the scale may be negative; stored biased by 8). With tile_rows = 16 they become one tile, rows that are missing
     codes and scales of zero; with tile_rows = 1 each becomes a tile of its own, codes after codes and scales after
     scales. For each group the scale, rounded to f16, minimises the squared error; an all-zero group has scale 0.
     `prescale` multiplies the weights first (a power of two that brings the scales into f16's range). Returns the sum of
     squared errors in the weights as they came, and adds each row's to `row_errors` [rows], where that is not NULL. */
  double (*quantize_rows)(
      const float *weights, size_t rows, size_t columns, size_t group_size, int bits, float prescale,
      size_t tile_rows, uint8_t *codes, uint16_t *scales, double *row_errors);
  /* The same to int4 codes that index a table; see struct grist_table_rows. */
  double (*quantize_table_rows)(const struct grist_table_rows *job);
  /* The greatest bit pattern of |x|: that of the greatest magnitude, or 0x7f800000 and up when a value is not finite. */
  uint32_t (*greatest_magnitude_bits)(const float *x, size_t count);
  /* Likewise of f16 or bf16 values: the sign bit cleared, the greatest of the 16 bits. */
  uint16_t (*greatest_magnitude_bits16)(const uint16_t *x, size_t count);
  double (*sum_of_squares)(const float *x, size_t count);
} grist_kernel_table;

/* The best table this CPU can run; on Intel's, avx512 before avx512bf16, which differ in attention alone. The environment
   variable GRISTMILL_ISA, read once, names the highest set allowed:
   "portable", "avx2", "avxvnni", "avx512", "avx512bf16"; on aarch64 "portable", "neon". Unknown names allow everything; a
   program refuses them by grist_kernel_name_is_known. */
const grist_kernel_table *grist_kernels(void);
/* Whether this build knows an instruction set of this name, whatever this CPU can run. */
bool grist_kernel_name_is_known(const char *name);
/* The table of this name, or NULL when this CPU or build has none. For tests. */
const grist_kernel_table *grist_kernel_table_named(const char *name);

uint16_t grist_half_from_float(float value); /* to nearest even, overflow to infinity */
float grist_float_from_half(uint16_t bits);

#endif
