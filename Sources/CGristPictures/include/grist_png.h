/* PNG decoding through libpng, with its error exits turned into return values. */
#ifndef GRIST_PNG_H
#define GRIST_PNG_H

#include "grist_picture.h"

typedef enum {
  /* One number a pixel, unscaled: 0 to 2^depth − 1. */
  GRIST_PNG_GREY,
  /* One number a pixel, an index into the palette. */
  GRIST_PNG_PALETTE,
  /* Red, green, blue. */
  GRIST_PNG_RGB,
} grist_png_samples;

typedef struct {
  uint32_t width;
  uint32_t height;
  /* Bits a sample as they stand in the file: 1, 2, 4, 8 or 16. */
  uint32_t depth;
  /* Bits a pixel as they stand in the file, alpha included. */
  uint32_t pixel_bits;
  grist_png_samples samples;
  /* Bytes a pixel that grist_png_decode gives: 3 for RGB, 2 for grey of 16 bits without alpha, else 1. */
  uint32_t pixel_bytes;
} grist_png_header;

/* Reads everything before the first IDAT. On false, `*failure` says why and `*header` is unspecified. */
bool grist_png_read_header(const void *bytes, size_t count, grist_png_header *header, grist_picture_failure *failure);

/* Decodes all rows, top to bottom without gaps, and whatever stands behind them to the end of the file. `header` is what
   grist_png_read_header gave for these bytes, `pixels` holds width · height · pixel_bytes bytes. Samples of 16 bits give
   their high byte, but for grey without alpha, which gives both, the high one first. Alpha, transparent colours, gamma
   and colour spaces are left out. `palette` receives 256 colours, black where the file has none. A wrong checksum
   anywhere, and a missing IEND, are failures. On false, `*failure` says why and the rest is unspecified. */
bool grist_png_decode(
    const void *bytes, size_t count, const grist_png_header *header, uint8_t *pixels, uint8_t palette[768],
    grist_picture_failure *failure);

#endif
