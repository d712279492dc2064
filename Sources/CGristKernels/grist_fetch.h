/* Asking for weights that are used once, ahead of their turn. */
#ifndef GRIST_FETCH_H
#define GRIST_FETCH_H

#include <stdatomic.h>

#include "grist_tuning.h"

/* In use now, see grist_tuning.c. Whoever reads sees each value as it was or as it is. */
extern struct grist_tuned {
  atomic_int int8_hint, int4_hint;
  atomic_size_t distance, int8_block_bytes, int4_block_bytes, lone_tiles;
} grist_tuned;

#define GRIST_TUNED(member) atomic_load_explicit(&grist_tuned.member, memory_order_relaxed)

/* Codes of `bits` bits, or their scales. */
static inline void fetch_once(uintptr_t address, size_t bytes, size_t bits) {
  switch (bits == 8 ? GRIST_TUNED(int8_hint) : GRIST_TUNED(int4_hint)) {
    default: return;
    case GRIST_HINT_PAST:
      for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 0);
      return;
    case GRIST_HINT_SECOND_LEVEL:
      for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 2);
      return;
    case GRIST_HINT_ALL_LEVELS:
      for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 3);
      return;
  }
}

#endif
