#include "grist_tuning.h"

#include <string.h>

#include "grist_fetch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

grist_cpu grist_this_cpu(void) {
  grist_cpu cpu = {{0}, 0, 0};
#if defined(__x86_64__)
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx)) return cpu;
  memcpy(cpu.vendor, &ebx, 4), memcpy(cpu.vendor + 4, &edx, 4), memcpy(cpu.vendor + 8, &ecx, 4);
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return cpu;
  cpu.family = eax >> 8 & 15, cpu.model = eax >> 4 & 15;
  if (cpu.family == 6 || cpu.family == 15) cpu.model += (eax >> 16 & 15) << 4;
  if (cpu.family == 15) cpu.family += eax >> 20 & 255;
#endif
  return cpu;
}

enum { kUsualDistance = 4096, kUsualTiles = 32 };
#define USUAL(INT8, INT4) \
  {.int8_hint = INT8, .int4_hint = INT4, .distance = kUsualDistance, .lone_tiles = kUsualTiles}
static const grist_tuning past = USUAL(GRIST_HINT_PAST, GRIST_HINT_PAST),
                          second_level = USUAL(GRIST_HINT_SECOND_LEVEL, GRIST_HINT_SECOND_LEVEL),
                          page_starts = {
                              .int8_hint = GRIST_HINT_PAGE_STARTS,
                              .int4_hint = GRIST_HINT_PAGE_STARTS,
                              .distance = 3 * kUsualDistance,
                              .lone_tiles = kUsualTiles};

/* Families that were measured, and for the rest of a vendor's CPUs what those have in common. Docs/measurements.md tells what
   speaks for each. */
static const struct {
  const char *vendor;
  unsigned family, least_model, greatest_model;
  const grist_tuning *tuning;
  bool measured;
} families[] = {
    {"AuthenticAMD", 25, 0x00, 0x0f, &past, false}, /* Zen 3, servers: run with it, never beside another */
    /* Zen 4, servers: the CPU looks ahead best by itself, but not across pages. */
    {"AuthenticAMD", 25, 0x10, 0x1f, &page_starts, true},
    {"AuthenticAMD", 26, 0x00, 0x1f, &past, true}, /* Zen 5, servers */
    /* On Intel's the non-temporal hint takes the few fill buffers of the first-level cache: reading falls by a third to a half. */
    {"GenuineIntel", 6, 143, 143, &second_level, true}, /* Sapphire Rapids */
    {"GenuineIntel", 6, 0, 255, &second_level, false},
};

grist_tuning grist_builtin_tuning(bool *measured) {
  grist_cpu cpu = grist_this_cpu();
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    if (strcmp(cpu.vendor, families[i].vendor) != 0 || cpu.family != families[i].family) continue;
    if (cpu.model < families[i].least_model || cpu.model > families[i].greatest_model) continue;
    *measured = families[i].measured;
    return *families[i].tuning;
  }
  *measured = false;
  return past;
}

struct grist_tuned grist_tuned = USUAL(GRIST_HINT_PAST, GRIST_HINT_PAST);

__attribute__((constructor)) static void begin(void) {
  bool measured;
  grist_use_tuning(grist_builtin_tuning(&measured));
}

grist_tuning grist_tuning_in_use(void) {
  return (grist_tuning){
      .int8_hint = (enum grist_hint)GRIST_TUNED(int8_hint), .int4_hint = (enum grist_hint)GRIST_TUNED(int4_hint),
      .distance = GRIST_TUNED(distance), .int8_block_bytes = GRIST_TUNED(int8_block_bytes),
      .int4_block_bytes = GRIST_TUNED(int4_block_bytes), .lone_tiles = GRIST_TUNED(lone_tiles)};
}

void grist_use_tuning(grist_tuning tuning) {
#define USE(member) atomic_store_explicit(&grist_tuned.member, tuning.member, memory_order_relaxed)
  USE(distance), USE(int8_block_bytes), USE(int4_block_bytes), USE(lone_tiles);
#undef USE
  atomic_store_explicit(&grist_tuned.int8_hint, (int)tuning.int8_hint, memory_order_relaxed);
  atomic_store_explicit(&grist_tuned.int4_hint, (int)tuning.int4_hint, memory_order_relaxed);
}
