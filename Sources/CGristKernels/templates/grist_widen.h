/* Rows of f32 to wide tiles, see grist_kernels.h. */
#ifndef GRIST_WIDEN_H
#define GRIST_WIDEN_H

#include <string.h>

#include "templates/grist_columns.h"
#include "templates/grist_vectors.h"

/* Wide codes are biased, as what an unsigned factor has to be. */
enum { kWideBias = 128, kWideMost = 127 };

static void widen_rows(const float *weights, size_t rows, size_t columns, uint8_t *codes, float *scales) {
  size_t padded = padded_columns(columns), groups = (columns + GRIST_WIDE_GROUP - 1) / GRIST_WIDE_GROUP;
  if (rows < GRIST_TILE_ROWS) {
    memset(codes, kWideBias, padded * GRIST_TILE_ROWS);
    memset(scales, 0, groups * GRIST_TILE_ROWS * sizeof *scales);
  }
  for (size_t group = 0, start = 0; group < groups; group++, start += GRIST_WIDE_GROUP) {
    size_t count = columns - start < GRIST_WIDE_GROUP ? columns - start : GRIST_WIDE_GROUP;
    for (size_t row = 0; row < rows; row++) {
      int8_t rounded[GRIST_WIDE_GROUP];
      int32_t sum;
      quantize_activations(
          weights + row * columns + start, count, GRIST_WIDE_GROUP, rounded, &scales[group * GRIST_TILE_ROWS + row], &sum);
      for (size_t k = 0; k < padded_columns(count); k += 4) {
        uint32_t word;
        memcpy(&word, rounded + k, sizeof word);
        word ^= 0x80808080u;
        memcpy(codes + (start + k) * GRIST_TILE_ROWS + 4 * row, &word, sizeof word);
      }
    }
  }
}

#endif
