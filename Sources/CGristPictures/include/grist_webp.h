/* WebP decoding through libwebp. */
#ifndef GRIST_WEBP_H
#define GRIST_WEBP_H

#include "grist_picture.h"

typedef struct {
  /* The canvas. */
  uint32_t width;
  uint32_t height;
} grist_webp_header;

/* Reads the file's chunks, not their pixels. On false, `*failure` says why and `*header` is unspecified. */
bool grist_webp_read_header(const void *bytes, size_t count, grist_webp_header *header, grist_picture_failure *failure);

/* Decodes the image, of an animation the first frame on a canvas of zeros: RGB, top to bottom without gaps, alpha left
   out. `header` is what grist_webp_read_header gave for these bytes and `pixels` holds width · height · 3 bytes. WebP has
   no checksums: damage that still makes an image goes unseen. On false, `*failure` says why and the pixels are
   unspecified. */
bool grist_webp_decode(
    const void *bytes, size_t count, const grist_webp_header *header, uint8_t *pixels, grist_picture_failure *failure);

#endif
