/* What the machine can do at best, to hold measurements against: plain loops with nothing else in them. */
#ifndef GRIST_LIMITS_H
#define GRIST_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum { GRIST_LIMITS_WEIGHT = 7, GRIST_LIMITS_ACTIVATION = -3 };

typedef struct {
  const char *name; /* of the kernel table it belongs to */

  /* Reads `bytes` bytes (a multiple of 512, aligned to 64) once, and returns the exclusive or of its 64-bit words. From 1
     place, front to back, or from 4 places in turn, each a quarter of the bytes from the next: a CPU may read ahead of several
     places faster than of one. */
  uint64_t (*read)(const void *buffer, size_t bytes, size_t places);

  /* `rounds` rounds of independent int8 dot products between registers, the way the tile products compute them, of
     operands that are all GRIST_LIMITS_WEIGHT and GRIST_LIMITS_ACTIVATION. Returns the sum of all products, modulo
     2^32. */
  uint32_t (*dot)(size_t rounds);
  /* Multiplications and additions of one round, each counted as one operation. */
  size_t operations_per_round;
} grist_limits;

/* The loops of the instruction set that `grist_kernels` chose. */
const grist_limits *grist_limits_of_kernels(void);
/* The loops of the kernel table of this name, or NULL when this CPU or build has none. For tests. */
const grist_limits *grist_limits_named(const char *name);

#endif
