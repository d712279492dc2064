/* The tables the dispatcher chooses from. */
#ifndef GRIST_TABLES_H
#define GRIST_TABLES_H

#include "grist_kernels.h"

extern const grist_kernel_table grist_table_portable;
#if defined(__x86_64__)
extern const grist_kernel_table grist_table_avx2;
extern const grist_kernel_table grist_table_avxvnni;
extern const grist_kernel_table grist_table_avx512;
#elif defined(__aarch64__)
extern const grist_kernel_table grist_table_neon;
#endif

#endif
