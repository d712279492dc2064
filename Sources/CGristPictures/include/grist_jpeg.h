/* JPEG decoding through libjpeg, with its error exits turned into return values. */
#ifndef GRIST_JPEG_H
#define GRIST_JPEG_H

#include "grist_picture.h"

typedef struct {
  uint32_t width;
  uint32_t height;
  /* Components in the file: 1 grey, 3 colour, 4 CMYK or YCCK. Other numbers are reported but cannot be decoded. */
  uint32_t components;
} grist_jpeg_header;

/* Reads everything before the first scan. On false, `*failure` says why and `*header` is unspecified. */
bool grist_jpeg_read_header(const void *bytes, size_t count, grist_jpeg_header *header, grist_picture_failure *failure);

/* Decodes all rows, top to bottom without gaps: RGB from 1 or 3 components (grey is replicated), 4 bytes a pixel as
   they stand in the file (after YCCK → CMYK) from 4. `header` is what grist_jpeg_read_header gave for these bytes and
   `pixels` holds width · height · (components == 4 ? 4 : 3) bytes. libjpeg's defaults: accurate integer DCT, fancy
   upsampling. Damaged entropy-coded data, which libjpeg by itself only warns about, is a failure; so are bytes that
   end before the end-of-image marker. On false, `*failure` says why and the pixels are unspecified. */
bool grist_jpeg_decode(
    const void *bytes, size_t count, const grist_jpeg_header *header, uint8_t *pixels, grist_picture_failure *failure);

#endif
