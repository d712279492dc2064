/* JPEG decoding through libjpeg, with its error exits turned into return values. Nothing here prints, exits or keeps
   state between calls; any number of threads may call at once. */
#ifndef GRIST_JPEG_H
#define GRIST_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t width;
  uint32_t height;
  /* Components in the file: 1 grey, 3 colour, 4 CMYK or YCCK. Other numbers are reported but cannot be decoded. */
  uint32_t components;
} grist_jpeg_header;

typedef enum {
  /* The bytes break the rules of the format. */
  GRIST_JPEG_DAMAGED = 1,
  /* The bytes end before the image does. */
  GRIST_JPEG_TRUNCATED,
  /* A kind of JPEG that this libjpeg does not decode. */
  GRIST_JPEG_UNSUPPORTED,
  GRIST_JPEG_OUT_OF_MEMORY,
} grist_jpeg_failure_kind;

typedef struct {
  grist_jpeg_failure_kind kind;
  /* About where libjpeg was reading; `count` when it had read everything. */
  size_t offset;
  /* libjpeg's own sentence, NUL-terminated. */
  char message[256];
} grist_jpeg_failure;

/* Reads everything before the first scan. On false, `*failure` says why and `*header` is unspecified. */
bool grist_jpeg_read_header(const void *bytes, size_t count, grist_jpeg_header *header, grist_jpeg_failure *failure);

/* Decodes all rows, top to bottom without gaps: RGB from 1 or 3 components (grey is replicated), 4 bytes a pixel as
   they stand in the file (after YCCK → CMYK) from 4. `header` is what grist_jpeg_read_header gave for these bytes and
   `pixels` holds width · height · (components == 4 ? 4 : 3) bytes. libjpeg's defaults: accurate integer DCT, fancy
   upsampling. Damaged entropy-coded data, which libjpeg by itself only warns about, is a failure; so are bytes that
   end before the end-of-image marker. On false, `*failure` says why and the pixels are unspecified. */
bool grist_jpeg_decode(
    const void *bytes, size_t count, const grist_jpeg_header *header, uint8_t *pixels, grist_jpeg_failure *failure);

#endif
