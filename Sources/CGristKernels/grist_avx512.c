#if defined(__x86_64__)

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
    apply_to = function)

#define GRIST_ISA avx512
#include "grist_template.h"

#include "grist_tables.h"

const grist_kernel_table grist_table_avx512 = {GRIST_TABLE_ENTRIES};

#pragma clang attribute pop

#endif
