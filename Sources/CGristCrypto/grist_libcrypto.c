#define _GNU_SOURCE
#include "grist_libcrypto.h"

#include <dlfcn.h>
#include <pthread.h>

static struct grist_libcrypto functions;
static int is_there;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libcrypto.so", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
#define FIND(name)                                                      \
  functions.p_##name = (__typeof__(functions.p_##name))dlsym(library, #name); \
  if (!functions.p_##name) return;
  GRIST_LIBCRYPTO_FUNCTIONS(FIND)
#undef FIND
  is_there = 1;
}

const struct grist_libcrypto *grist_libcrypto(void) {
  pthread_once(&once, load);
  return is_there ? &functions : NULL;
}
