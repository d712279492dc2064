/* What suits a CPU: how weights are asked for ahead of their turn, and how many of them the cache is to hold. None of it
   changes a result. */
#ifndef GRIST_TUNING_H
#define GRIST_TUNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How codes and scales that are used once are asked for: not at all, past the second-level cache, into it, or into all caches.
   PAGE_STARTS asks only for where each page of codes begins, into the second-level cache, and for all scales, past it: from there on the
   CPU looks ahead by itself. */
enum grist_hint {
  GRIST_HINT_NONE,
  GRIST_HINT_PAST,
  GRIST_HINT_SECOND_LEVEL,
  GRIST_HINT_ALL_LEVELS,
  GRIST_HINT_PAGE_STARTS
};

typedef struct {
  enum grist_hint int8_hint, int4_hint;
  size_t distance; /* bytes ahead of the codes that one row is about to meet, at most 1 << 20 */
  /* Bytes of codes that stay in the second-level cache while many rows meet them; 0 leaves it to the kernels. */
  size_t int8_block_bytes, int4_block_bytes;
  size_t lone_tiles; /* tiles that one thread takes at a time of a product of one row */
} grist_tuning;

/* A CPU as it names itself: cpuid's vendor, family and model. Elsewhere than on x86-64 an empty vendor. */
typedef struct {
  char vendor[13];
  unsigned family, model;
} grist_cpu;

grist_cpu grist_this_cpu(void);

/* What was found for this CPU's family, or what is least wrong for others; `measured` says which. */
grist_tuning grist_builtin_tuning(bool *measured);

/* What is in use: the built-in one until another is set. */
grist_tuning grist_tuning_in_use(void);

/* Sets it for the whole process, at any time: what runs goes on with the old values or the new ones. */
void grist_use_tuning(grist_tuning tuning);

#endif
