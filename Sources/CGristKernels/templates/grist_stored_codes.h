/* How codes lie in a tile, see Formats/grist-v1.md, "Tiles": the one place that writes them, and that reads them where no dot
   product is wanted. Included by grist_template.h, so once for each instruction set.

   A block is eight columns of a tile. Its words of four bytes, one a row, hold the codes of the columns k to k + 3, in int8
   followed by words for k + 4 to k + 7; in int4 those share the bytes, in the high halves. */
#ifndef GRIST_STORED_CODES_H
#define GRIST_STORED_CODES_H

#include <string.h>

#include "templates/grist_columns.h"
#include "templates/grist_halves.h"
#include "templates/grist_vectors.h"

/* Four columns of codes as bytes: lane r holds row r's, the first column lowest. */
GRIST_INLINE vec16i four_columns(const vec16 *codes, int bias, int mask) {
  vec16i bytes = {0};
  for (int i = 0; i < 4; i++)
    bytes |= ((__builtin_convertvector(codes[i], vec16i) + bias) & mask) << (8 * i);
  return bytes;
}

/* Stores block `index` of up to sixteen rows: in int8 the values of `columns`, in int4 those plus `bias`. With tile_rows = 16
   rows that are missing become codes of zero, or of `bias`; with tile_rows = 1 each row is a tile of its own, row_bytes long. */
GRIST_INLINE void store_block(
    const vec16 *columns, size_t index, int bits, int bias, size_t rows, size_t tile_rows, size_t row_bytes,
    uint8_t *codes) {
  vec16i words[2] = {four_columns(columns, bias, 255), four_columns(columns + 4, bias, 255)};
  size_t count = bits == 8 ? 2 : 1;
  if (bits == 4) words[0] |= words[1] << 4;
  for (size_t i = 0; i < count; i++) {
    if (tile_rows != 1) {
      memcpy(codes + (index * count + i) * 4 * GRIST_TILE_ROWS, &words[i], 4 * GRIST_TILE_ROWS);
      continue;
    }
    for (size_t row = 0; row < rows; row++) {
      int32_t bytes = words[i][row];
      memcpy(codes + row * row_bytes + (index * count + i) * 4, &bytes, 4);
    }
  }
}

/* What four bits stand for. */
struct code_meanings {
  float values[16];
};

static inline struct code_meanings code_meanings_of(const int8_t *table) {
  struct code_meanings result;
  for (int code = 0; code < 16; code++) result.values[code] = (float)(table != NULL ? table[code] : code - 8);
  return result;
}

/* One row's codes of a block, times `scale`. */
static inline void float_from_block(
    const grist_stored_tile *tile, const struct code_meanings *meanings, size_t index, size_t row, float scale,
    float *out) {
  size_t word_bytes = 4 * tile->tile_rows;
  const uint8_t *word = tile->codes + index * (tile->bits == 8 ? 2 : 1) * word_bytes + 4 * row;
  for (size_t i = 0; i < 4; i++) {
    out[i] = scale * (tile->bits == 8 ? (float)(int8_t)word[i] : meanings->values[word[i] & 15]);
    out[4 + i] = scale * (tile->bits == 8 ? (float)(int8_t)word[word_bytes + i] : meanings->values[word[i] >> 4]);
  }
}

static void float_from_tile(const grist_stored_tile *tile, size_t first, size_t rows, float *out) {
  struct code_meanings meanings = code_meanings_of(tile->table);
  for (size_t row = first; row < first + rows; row++, out += tile->columns)
    for (size_t column = 0; column < tile->columns; column += GRIST_BLOCK_COLUMNS) {
      size_t group = column / tile->group_size;
      float scale = half_bits_to_float(tile->scales[group * tile->tile_rows + row]) * tile->multiplier;
      float block[GRIST_BLOCK_COLUMNS];
      float_from_block(tile, &meanings, column / GRIST_BLOCK_COLUMNS, row, scale, block);
      size_t left = tile->columns - column;
      memcpy(out + column, block, (left < GRIST_BLOCK_COLUMNS ? left : GRIST_BLOCK_COLUMNS) * sizeof *block);
    }
}

#endif
