/* How a tile product walks its tiles and tokens, for instruction sets that compute a few tokens of one tile at a time.

   A few tiles, as many as stay in the second-level cache, meet all tokens before the next few come; within them a block
   of tokens, which stays in the first-level cache, meets each tile. So weights are read from memory once, and
   activations once for every few tiles. */
#ifndef GRIST_BLOCKING_H
#define GRIST_BLOCKING_H

#include "templates/grist_columns.h"
#include "grist_fetch.h"

/* Kinds of codes: how wide they are and what they stand for. A narrow table's values lie within -kNarrowMost...kNarrowMost: the
   sum of four products with an int8, biased or not, stays within 16 bits. Wide codes are int8, biased by 128. */
enum { kInt4 = 4, kInt8 = 8, kTable4 = 20, kNarrowTable4 = 36, kWide8 = 40, kNarrowMost = 32 };

static inline size_t bits_of(int kind) { return kind == kInt8 || kind == kWide8 ? 8 : 4; }
static inline bool has_table(int kind) { return kind == kTable4 || kind == kNarrowTable4; }
static inline bool adds_up_in_16_bits(int kind) { return kind == kInt4 || kind == kNarrowTable4; }

/* Bytes of weights that are to stay in the second-level cache. AVX-512 comes with 1 MB of it and more, of which int8 codes may
   have more than int4 codes, whose arithmetic waits less for them. Where codes stream by, as many as a task should have. */
#ifdef GRIST_STREAMED_BYTES
enum { kInt8BlockBytes = GRIST_STREAMED_BYTES, kInt4BlockBytes = GRIST_STREAMED_BYTES };
#elif defined(GRIST_LARGE_SECOND_LEVEL)
enum { kInt8BlockBytes = 256 * 1024, kInt4BlockBytes = 192 * 1024 };
#else
enum { kInt8BlockBytes = 192 * 1024, kInt4BlockBytes = 192 * 1024 };
#endif

/* Of codes of this kind. */
static inline size_t block_bytes(int kind) {
  size_t tuned = bits_of(kind) == 8 ? GRIST_TUNED(int8_block_bytes) : GRIST_TUNED(int4_block_bytes);
  return tuned != 0 ? tuned : bits_of(kind) == 8 ? kInt8BlockBytes : kInt4BlockBytes;
}

/* Tiles that the products of several tokens take at a time; an instruction set may have defined it. */
#ifndef GRIST_TILES_TOGETHER
#define GRIST_TILES_TOGETHER 2
#endif

/* Bytes of the codes that so many columns of a tile have. */
static inline size_t code_bytes(size_t columns, int kind) { return columns * GRIST_TILE_ROWS * bits_of(kind) / 8; }

/* Bytes of one tile's codes. */
static inline size_t code_bytes_of_tile(const grist_tile_product *p, int kind) {
  return code_bytes(padded_columns(p->columns), kind);
}

/* Tiles that have rows. */
static inline size_t tiles_of(const grist_tile_product *p) {
  size_t tiles = (p->rows + GRIST_TILE_ROWS - 1) / GRIST_TILE_ROWS;
  return tiles < p->tiles ? tiles : p->tiles;
}

/* Where one tile and the tokens from `token` on begin. */
struct tile_operands {
  size_t padded, groups;
  const uint8_t *codes;
  const uint16_t *scales;
  const int8_t *x;
  const float *x_scales;
  const int32_t *x_sums;
  struct fetching fetching;
};

static inline struct tile_operands tile_operands(const grist_tile_product *p, size_t tile, size_t token, int kind) {
  size_t padded = padded_columns(p->columns), groups = (p->columns + p->group_size - 1) / p->group_size;
  return (struct tile_operands){
      .padded = padded,
      .groups = groups,
      .codes = p->codes + tile * code_bytes_of_tile(p, kind),
      .scales = kind == kWide8 ? NULL : p->scales + tile * groups * GRIST_TILE_ROWS,
      .x = p->activations + token * padded,
      .x_scales = p->activation_scales + token * groups,
      .x_sums = p->activation_sums + token * groups,
      .fetching = fetching_of(bits_of(kind))};
}

/* Asks for as many codes as one token is about to meet, `bytes` of them, ahead of these: their arithmetic
   leaves memory idle now and then, and the CPU's own look ahead ends with the page. For the only token they come as
   fetch_codes_once has it. Of several the next one finds them in the second-level cache; int8 codes, read twice as fast, gain
   nothing there with AVX-512. */
static inline void fetch_codes(const grist_tile_product *p, struct fetching fetching, const uint8_t *codes, size_t bytes, int kind) {
  enum { kAheadOfSeveral = 8192 };
  if (p->tokens == 1) {
    fetch_codes_once(fetching, codes, bytes);
  } else if (bits_of(kind) != 8) {
    for (size_t line = 0; line < bytes; line += 64)
      __builtin_prefetch((const void *)((uintptr_t)codes + kAheadOfSeveral + line), 0, 3);
  }
}

/* Asks for the eight tokens' share of the next few tiles' codes: what would be waited for when their turn comes is in the
   second-level cache by then. */
static inline void fetch_ahead(
    const grist_tile_product *p, size_t next_tile, size_t bytes, size_t tile_bytes, size_t token) {
  size_t from = next_tile * tile_bytes + bytes * token / p->tokens;
  size_t to = next_tile * tile_bytes + bytes * (token + 8) / p->tokens, end = p->tiles * tile_bytes;
  for (size_t at = from / 64 * 64; at < to && at < end; at += 64) __builtin_prefetch(p->codes + at, 0, 2);
}

/* Calls MANY(p, tile, end, token, tokens, kind) for some tiles and the eight or four tokens from `token` on, and
   ONE(p, tile, token, kind) for a single tile and token, until all are done. ONE, unlike MANY, is made for weights that come
   from memory. */
#define GRIST_WALK(p, kind, MANY, ONE)                                                           \
  do {                                                                                           \
    size_t tiles_used = tiles_of(p);                                                             \
    size_t tile_bytes = code_bytes_of_tile((p), kind);                                           \
    size_t block_tiles = block_bytes(kind) / tile_bytes / 2 * 2;                                 \
    if (block_tiles < 2) block_tiles = 2;                                                        \
    for (size_t first = 0; first < tiles_used; first += block_tiles) {                           \
      size_t end = first + block_tiles < tiles_used ? first + block_tiles : tiles_used;          \
      size_t token = 0;                                                                          \
      for (; token + 8 <= (p)->tokens; token += 8) {                                             \
        fetch_ahead((p), end, block_tiles * tile_bytes, tile_bytes, token);                      \
        MANY((p), first, end, token, 8, kind);                                                   \
      }                                                                                          \
      if (token + 4 <= (p)->tokens) {                                                            \
        MANY((p), first, end, token, 4, kind);                                                   \
        token += 4;                                                                              \
      }                                                                                          \
      for (; token < (p)->tokens; token++)                                                       \
        for (size_t tile = first; tile < end; tile++) ONE((p), tile, token, kind);               \
    }                                                                                            \
  } while (0)

/* The two products, for an instruction set that has many_tokens and one_token. */
#define GRIST_TILE_PRODUCTS                                                                             \
  static void multiply_int8_tiles(const grist_tile_product *p) { GRIST_WALK(p, kInt8, many_tokens, one_token); } \
  static void multiply_int4_tiles(const grist_tile_product *p) {                                        \
    if (p->table != NULL)                                                                               \
      GRIST_WALK(p, kTable4, many_tokens, one_token);                                                  \
    else                                                                                                \
      GRIST_WALK(p, kInt4, many_tokens, one_token);                                                    \
  }

#endif
