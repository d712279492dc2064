#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define GRIST_ISA avx2
#include "grist_template.h"

#include "grist_tables.h"

const grist_kernel_table grist_table_avx2 = {GRIST_TABLE_ENTRIES};

#pragma clang attribute pop

#endif
