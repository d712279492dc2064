/* What the decoders of pictures share. Nothing here prints, exits or keeps state between calls; any number of threads
   may call at once. */
#ifndef GRIST_PICTURE_H
#define GRIST_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  /* The bytes break the rules of the format. */
  GRIST_PICTURE_DAMAGED = 1,
  /* The bytes end before the image does. */
  GRIST_PICTURE_TRUNCATED,
  /* A kind of file that the library does not decode. */
  GRIST_PICTURE_UNSUPPORTED,
  GRIST_PICTURE_OUT_OF_MEMORY,
} grist_picture_failure_kind;

typedef struct {
  grist_picture_failure_kind kind;
  /* About where the library was reading; the number of bytes when it had read everything. */
  size_t offset;
  /* The library's own sentence, NUL-terminated. */
  char message[256];
} grist_picture_failure;

#endif
