#if defined(__x86_64__)

#pragma clang attribute push(                                                                         \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)

/* Of the shared headers only attention is wanted here. */
#pragma clang diagnostic ignored "-Wunused-function"

#define GRIST_HAS_HALF
#define GRIST_ATTENTION_ROWS 8
#define GRIST_BF16_DOTS
#include "templates/grist_attention.h"

#include "grist_tables.h"

void grist_attend_bf16(const grist_attention *a) {
  if (!a->may_narrow || is_small(a->count, a->length)) return grist_table_avx512.attend(a);
  attend_many(a);
}

#pragma clang attribute pop

#endif
