/* Asking for weights that are used once, ahead of their turn. */
#ifndef GRIST_FETCH_H
#define GRIST_FETCH_H

#include <stdatomic.h>

#include "grist_kernels.h"
#include "grist_tuning.h"

/* In use now, see grist_tuning.c. Whoever reads sees each value as it was or as it is. */
extern struct grist_tuned {
  atomic_int int8_hint, int4_hint;
  atomic_size_t distance, int8_block_bytes, int4_block_bytes, lone_tiles;
} grist_tuned;

#define GRIST_TUNED(member) atomic_load_explicit(&grist_tuned.member, memory_order_relaxed)

/* How the codes of a tile are asked for, and how far ahead: read once a tile, as they are asked for every few cycles. */
struct fetching {
  int hint;
  size_t distance;
};

/* For codes of `bits` bits and their scales. */
static inline struct fetching fetching_of(size_t bits) {
  return (struct fetching){bits == 8 ? GRIST_TUNED(int8_hint) : GRIST_TUNED(int4_hint), GRIST_TUNED(distance)};
}

/* Not a switch: its jump table costs more than what is asked for brings. */
static inline void fetch_by(int hint, uintptr_t address, size_t bytes) {
  if (hint == GRIST_HINT_PAST)
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 0);
  else if (hint == GRIST_HINT_SECOND_LEVEL)
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 2);
  else if (hint == GRIST_HINT_ALL_LEVELS)
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const void *)(address + line), 0, 3);
}

/* Of codes that are walked in steps of `bytes`, the step that lies the distance ahead of `codes`. */
static inline void fetch_codes_once(struct fetching fetching, const uint8_t *codes, size_t bytes) {
  enum { kPage = 4096, kStart = 128 };
  uintptr_t address = (uintptr_t)codes + fetching.distance;
  if (fetching.hint != GRIST_HINT_PAGE_STARTS)
    fetch_by(fetching.hint, address, bytes);
  else if (address % kPage < bytes)
    fetch_by(GRIST_HINT_SECOND_LEVEL, address / kPage * kPage, kStart);
}

/* The scales of two groups, 512 bytes ahead, when the first of the two begins. */
static inline void fetch_scales_once(struct fetching fetching, const uint16_t *scales, size_t group) {
  enum { kAhead = 512 };
  if (group % 2 != 0) return;
  int hint = fetching.hint == GRIST_HINT_PAGE_STARTS ? GRIST_HINT_PAST : fetching.hint;
  fetch_by(hint, (uintptr_t)(scales + group * GRIST_TILE_ROWS) + kAhead, 64);
}

#endif
