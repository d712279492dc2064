/* Rows of a tile are padded to whole blocks of columns. */
#ifndef GRIST_COLUMNS_H
#define GRIST_COLUMNS_H

#include "grist_kernels.h"

static inline size_t padded_columns(size_t columns) {
  return (columns + GRIST_BLOCK_COLUMNS - 1) / GRIST_BLOCK_COLUMNS * GRIST_BLOCK_COLUMNS;
}

#endif
