/* The tables the dispatcher chooses from. */
#ifndef GRIST_TABLES_H
#define GRIST_TABLES_H

#include "grist_kernels.h"

extern const grist_kernel_table grist_table_portable;
#if defined(__x86_64__)
extern const grist_kernel_table grist_table_avx2;
extern const grist_kernel_table grist_table_avxvnni;
extern const grist_kernel_table grist_table_avx512;
extern const grist_kernel_table grist_table_avx512bf16;

/* Attention by dot products of bf16 pairs, where the caller lets it narrow. */
void grist_attend_bf16(const grist_attention *attention);
#elif defined(__aarch64__)
extern const grist_kernel_table grist_table_neon;
#endif

#endif
