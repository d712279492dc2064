#if defined(__aarch64__)

#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("+dotprod"))), apply_to = function)

#define GRIST_OWN_TILE_PRODUCTS
#define GRIST_HAS_HALF
#include "templates/grist_template.h"

#include "templates/grist_blocking.h"
#include "grist_tables.h"

/* sdot multiplies signed bytes: of four rows with four columns each and four activations, one row's dot product comes
   to each 32-bit lane. int8 codes go in as they are; int4 codes stay in 0...15, which costs one instruction a register
   less than subtracting their bias of 8: the sums start at -8 times the activations' sum instead. A tile's 16 rows are
   four registers. */

enum { kRegisters = 4 };

/* Columns k...k+3 and k+4...k+7 of one block. */
GRIST_INLINE void load_block(const uint8_t *codes, int kind, int8x16_t table, int8x16_t *low, int8x16_t *high) {
  for (int i = 0; i < kRegisters; i++) {
    uint8x16_t bytes = vld1q_u8(codes + 16 * i);
    if (kind == kTable4) {
      low[i] = vqtbl1q_s8(table, vandq_u8(bytes, vdupq_n_u8(15)));
      high[i] = vqtbl1q_s8(table, vshrq_n_u8(bytes, 4));
    } else if (kind == kInt4) {
      low[i] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
      high[i] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
    } else {
      low[i] = vreinterpretq_s8_u8(bytes);
      high[i] = vreinterpretq_s8_u8(vld1q_u8(codes + 64 + 16 * i));
    }
  }
}

GRIST_INLINE void store_rows(const grist_tile_product *p, size_t tile, size_t token, const float32x4_t *totals) {
  size_t first = tile * GRIST_TILE_ROWS;
  size_t rows = p->rows - first;
  float *out = p->out + token * p->out_stride + first;
  float total[GRIST_TILE_ROWS];
  float *target = rows >= GRIST_TILE_ROWS ? out : total;
  for (int i = 0; i < kRegisters; i++) {
    float32x4_t scaled = vmulq_n_f32(totals[i], p->multiplier);
    if (p->bias != NULL && target == out) scaled = vaddq_f32(scaled, vld1q_f32(p->bias + first + 4 * i));
    vst1q_f32(target + 4 * i, scaled);
  }
  if (target == out) return;
  for (size_t row = 0; row < rows; row++) out[row] = total[row] + (p->bias != NULL ? p->bias[first + row] : 0);
}

/* `tokens` (1, or up to 4: sixteen sums and a block of weights fill the 32 registers) of one tile. */
GRIST_INLINE void few_tokens(const grist_tile_product *p, size_t tile, size_t token, int kind, int tokens) {
  struct tile_operands o = tile_operands(p, tile, token, kind);
  int8x16_t table = kind == kTable4 ? vld1q_s8(p->table) : vdupq_n_s8(0);
  size_t padded = o.padded, groups = o.groups, group_size = p->group_size;
  const uint8_t *codes = o.codes;
  /* A single token has registers to spare: a second set of sums keeps its instructions from waiting for each other. */
  int sets = tokens == 1 ? 2 : 1;
  float32x4_t totals[4][kRegisters];
  for (int t = 0; t < tokens; t++)
    for (int i = 0; i < kRegisters; i++) totals[t][i] = vdupq_n_f32(0);
  for (size_t group = 0, k = 0; group < groups; group++) {
    size_t end = k + group_size < padded ? k + group_size : padded;
    int32x4_t sums[4][2][kRegisters];
    for (int t = 0; t < tokens; t++)
      for (int i = 0; i < kRegisters; i++) {
        sums[t][sets - 1][i] = vdupq_n_s32(0);
        sums[t][0][i] = vdupq_n_s32(kind == kInt4 ? -8 * o.x_sums[(size_t)t * groups + group] : 0);
      }
    for (; k < end; k += GRIST_BLOCK_COLUMNS, codes += 16 * bits_of(kind)) {
      int8x16_t low[kRegisters], high[kRegisters];
      load_block(codes, kind, table, low, high);
      for (int t = 0; t < tokens; t++) {
        int8x8_t x = vld1_s8(o.x + (size_t)t * padded + k);
        for (int i = 0; i < kRegisters; i++) {
          sums[t][0][i] = vdotq_lane_s32(sums[t][0][i], low[i], x, 0);
          sums[t][sets - 1][i] = vdotq_lane_s32(sums[t][sets - 1][i], high[i], x, 1);
        }
      }
    }
    const uint16_t *group_scales = o.scales + group * GRIST_TILE_ROWS;
    for (int i = 0; i < kRegisters; i++) {
      float32x4_t scale = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(group_scales + 4 * i)));
      for (int t = 0; t < tokens; t++) {
        int32x4_t sum = sets == 2 ? vaddq_s32(sums[t][0][i], sums[t][1][i]) : sums[t][0][i];
        float32x4_t both = vmulq_n_f32(scale, o.x_scales[(size_t)t * groups + group]);
        totals[t][i] = vfmaq_f32(totals[t][i], vcvtq_f32_s32(sum), both);
      }
    }
  }
  for (int t = 0; t < tokens; t++) store_rows(p, tile, token + (size_t)t, totals[t]);
}

GRIST_INLINE void many_tokens(
    const grist_tile_product *p, size_t tile, size_t end, size_t token, int tokens, int kind) {
  for (; tile < end; tile++)
    for (int some = 0; some < tokens; some += 4) few_tokens(p, tile, token + (size_t)some, kind, 4);
}

GRIST_INLINE void one_token(const grist_tile_product *p, size_t tile, size_t token, int kind) {
  few_tokens(p, tile, token, kind, 1);
}

GRIST_TILE_PRODUCTS

const grist_kernel_table grist_table_neon = {GRIST_TABLE_ENTRIES("neon", attend)};

#pragma clang attribute pop

#endif
