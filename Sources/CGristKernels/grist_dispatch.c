#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "grist_tables.h"
#include "grist_tuning.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
/* By hand, as the compiler's run-time libraries learnt of it late. */
static int has_avxvnni(void) {
  unsigned eax, ebx, ecx, edx;
  return has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1) != 0;
}
static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
static int has_avx512bf16(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#elif defined(__aarch64__)
/* The dot products of bytes came with ARMv8.2 and became part of ARMv8.4. */
static int has_neon_dot_products(void) {
#if defined(__ARM_FEATURE_DOTPROD)
  return 1; /* the whole program was compiled for CPUs that have them */
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return 0;
#endif
}
#endif
static int always(void) { return 1; }

/* Best first. */
static const struct {
  const grist_kernel_table *table;
  int (*is_supported)(void);
} candidates[] = {
#if defined(__x86_64__)
    {&grist_table_avx512bf16, has_avx512bf16},
    {&grist_table_avx512, has_avx512},
    {&grist_table_avxvnni, has_avxvnni},
    {&grist_table_avx2, has_avx2},
#elif defined(__aarch64__)
    {&grist_table_neon, has_neon_dot_products},
#endif
    {&grist_table_portable, always},
};
enum { kCandidates = sizeof candidates / sizeof *candidates };

static const grist_kernel_table *chosen;
static pthread_once_t choose_once = PTHREAD_ONCE_INIT;

/* Intel's CPUs multiply pairs of bf16 no faster than f32 (Sapphire Rapids, without AMX: 68 against 90 GFLOP/s in attention), so
   there attention keeps f32 unless the other set is asked for by name. By the vendor, for good: results depend on it. */
static bool is_slow_here(const grist_kernel_table *table) {
#if defined(__x86_64__)
  return table == &grist_table_avx512bf16 && strcmp(grist_this_cpu().vendor, "GenuineIntel") == 0;
#else
  (void)table;
  return false;
#endif
}

static void choose(void) {
  int first = -1;
  const char *limit = getenv("GRISTMILL_ISA");
  for (int i = 0; limit != NULL && i < kCandidates; i++)
    if (strcmp(candidates[i].table->name, limit) == 0) first = i;
  for (int i = first < 0 ? 0 : first; chosen == NULL && i < kCandidates; i++)
    if (candidates[i].is_supported() && (i == first || !is_slow_here(candidates[i].table))) chosen = candidates[i].table;
}

bool grist_kernel_name_is_known(const char *name) {
  for (int i = 0; i < kCandidates; i++)
    if (strcmp(candidates[i].table->name, name) == 0) return true;
  return false;
}

const grist_kernel_table *grist_kernels(void) {
  pthread_once(&choose_once, choose);
  return chosen;
}

const grist_kernel_table *grist_kernel_table_named(const char *name) {
  for (int i = 0; i < kCandidates; i++)
    if (strcmp(candidates[i].table->name, name) == 0 && candidates[i].is_supported()) return candidates[i].table;
  return NULL;
}
