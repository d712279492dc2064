/* The program's allocator: glibc's own, but memory that is refused ends the program with a sentence and 71. Swift's runtime
   traps on it, OpenBLAS asks again for ever, and who unwinds needs memory too; so there is nothing that a caller could do
   better. Only in the program: a library has no business with it. */
#define _GNU_SOURCE
#include <stddef.h>

#include "grist_program.h"
#include "grist_system.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

void grist_program_is_linked(void) {}

#include <features.h>
#if defined(__GLIBC__) && !defined(IS_SANITIZED)

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void *given(void *memory, size_t bytes) {
  if (memory == NULL && bytes > 0 && errno == ENOMEM) grist_system_refuse_memory(bytes);
  return memory;
}

void *malloc(size_t bytes) { return given(__libc_malloc(bytes), bytes); }

void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) grist_system_refuse_memory((size_t)-1);
  return given(__libc_calloc(count, size), bytes);
}

void *realloc(void *old, size_t bytes) { return given(__libc_realloc(old, bytes), bytes); }

void *memalign(size_t alignment, size_t bytes) { return given(__libc_memalign(alignment, bytes), bytes); }

void *aligned_alloc(size_t alignment, size_t bytes) { return given(__libc_memalign(alignment, bytes), bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
  *memory = given(__libc_memalign(alignment, bytes), bytes);
  return 0;
}

/* OpenBLAS maps its buffers. A file that cannot be mapped is its reader's to report. */
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  void *memory = (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
  if (memory == MAP_FAILED && errno == ENOMEM && (flags & MAP_ANONYMOUS) != 0 && (flags & MAP_HUGETLB) == 0)
    grist_system_refuse_memory(length);
  return memory;
}
#endif
