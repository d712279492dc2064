/* Asking for weights that are used once, ahead of their turn. */
#ifndef GRIST_FETCH_H
#define GRIST_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether weights that are used once pass by the second-level cache, as suits AMD's CPUs. On Intel's the non-temporal hint
   takes the few fill buffers of the first-level cache, and reading falls by a third to a half. See grist_dispatch.c. */
extern bool grist_passes_second_level;

static inline void fetch_once(uintptr_t address, size_t bytes) {
  if (grist_passes_second_level)
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 0);
  else
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 2);
}

#endif
