#define _GNU_SOURCE
#include "grist_system.h"

#include <errno.h>
#ifdef __linux__
#include <malloc.h>
#endif
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Tables that a signal handler walks: blocks of slots, linked and never freed, so that there is always room. A slot is
   readable by a handler while `used` is 1: it is set last and cleared first. Its path is replaced only when it is taken
   anew, so a handler never meets one that is gone. */
enum { kSlotsOfBlock = 256 };

struct slot {
  atomic_int used;
  uintptr_t base; /* of a mapping */
  size_t length;
  char *path;
};
struct block {
  struct slot slots[kSlotsOfBlock];
  _Atomic(struct block *) next;
};

static struct block first_mappings, first_temporaries;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fault_handler_once = PTHREAD_ONCE_INIT;
static atomic_int interrupted_by;

static void write_text(const char *text) {
  size_t left = strlen(text);
  while (left > 0) {
    ssize_t n = write(STDERR_FILENO, text, left);
    if (n <= 0) return;
    text += n;
    left -= (size_t)n;
  }
}

static void unlink_temporaries(void) {
  for (struct block *block = &first_temporaries; block != NULL; block = atomic_load(&block->next))
    for (int i = 0; i < kSlotsOfBlock; i++)
      if (atomic_load(&block->slots[i].used) == 1) unlink(block->slots[i].path);
}

/* Takes a slot of a table; NULL where memory is refused. */
static struct slot *take_slot(struct block *first, uintptr_t base, size_t length, const char *path) {
  char *copy = strdup(path);
  if (copy == NULL) return NULL;
  struct slot *taken = NULL;
  pthread_mutex_lock(&table_lock);
  for (struct block *block = first; block != NULL && taken == NULL; block = atomic_load(&block->next)) {
    for (int i = 0; i < kSlotsOfBlock && taken == NULL; i++)
      if (atomic_load(&block->slots[i].used) == 0) taken = &block->slots[i];
    if (taken == NULL && atomic_load(&block->next) == NULL) atomic_store(&block->next, calloc(1, sizeof *block));
  }
  if (taken != NULL) {
    free(taken->path);
    taken->path = copy;
    taken->base = base;
    taken->length = length;
    atomic_store(&taken->used, 1);
  }
  pthread_mutex_unlock(&table_lock);
  if (taken == NULL) free(copy);
  return taken;
}

static void give_slot_back(void *token) {
  if (token != NULL) atomic_store(&((struct slot *)token)->used, 0);
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t address = (uintptr_t)info->si_addr;
  for (struct block *block = &first_mappings; block != NULL; block = atomic_load(&block->next)) {
    for (int i = 0; i < kSlotsOfBlock; i++) {
      struct slot *slot = &block->slots[i];
      if (atomic_load(&slot->used) != 1 || address - slot->base >= slot->length) continue;
      write_text("gristmill: ");
      write_text(slot->path);
      write_text(": the file shrank or its disk failed while it was being read; restore it and run again\n");
      unlink_temporaries();
      _exit(74);
    }
  }
  signal(number, SIG_DFL);
  raise(number);
}

static void handle(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  /* No SA_RESTART: a signal ends a wait, for a reader of a full pipe for example; who waits looks for an interruption. */
  action.sa_flags = 0;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

static void install_fault_handler(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, NULL);
}

void grist_system_watch_faults(void) { pthread_once(&fault_handler_once, install_fault_handler); }

void *grist_system_register_mapping(const void *base, size_t length, const char *path) {
  return take_slot(&first_mappings, (uintptr_t)base, length, path);
}

void grist_system_unregister_mapping(void *token) { give_slot_back(token); }

void *grist_system_register_temporary(const char *path) { return take_slot(&first_temporaries, 0, 0, path); }

void grist_system_unregister_temporary(void *token) { give_slot_back(token); }

static void on_interrupt(int number) {
  int none = 0;
  if (atomic_compare_exchange_strong(&interrupted_by, &none, number)) {
    /* Whoever sends SIGTERM goes on to SIGKILL before long: what does not end by itself within a second is ended. */
    if (number == SIGTERM) alarm(1);
    return;
  }
  unlink_temporaries();
  _exit(128 + number);
}

static void on_alarm(int number) {
  (void)number;
  write_text("gristmill: interrupted\n");
  unlink_temporaries();
  _exit(130);
}

/* Dies of the signal, as the shell expects of the left side of a pipe, but leaves nothing behind. */
static void on_broken_pipe(int number) {
  unlink_temporaries();
  signal(number, SIG_DFL);
  raise(number);
}

void grist_system_watch_interrupts(void) {
  handle(SIGINT, on_interrupt);
  handle(SIGTERM, on_interrupt);
  handle(SIGALRM, on_alarm);
  handle(SIGPIPE, on_broken_pipe);
  /* nohup has it ignored. */
  struct sigaction hangup;
  if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) handle(SIGHUP, on_interrupt);
  /* A file that grows beyond `ulimit -f` is then an error of write(2). */
  signal(SIGXFSZ, SIG_IGN);
  /* A parent may have left them blocked. */
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGHUP);
  sigaddset(&watched, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &watched, NULL);
}

int grist_system_interrupted(void) { return atomic_load(&interrupted_by); }

#ifdef __linux__
/* VmHWM of /proc/self/status. getrusage's ru_maxrss outlives exec: it would be the parent's where that was larger. */
static size_t high_water_mark(void) {
  FILE *status = fopen("/proc/self/status", "re");
  if (status == NULL) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (fgets(line, sizeof line, status) != NULL)
    if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
  fclose(status);
  return (size_t)kilobytes * 1024;
}
#endif

void grist_system_return_memory(size_t kept) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  if (mallinfo2().fordblks > kept) malloc_trim(0);
#else
  (void)kept;
#endif
}

size_t grist_system_peak_resident_bytes(void) {
#ifdef __linux__
  size_t mark = high_water_mark();
  if (mark > 0) return mark;
#endif
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return (size_t)usage.ru_maxrss;
#else
  return (size_t)usage.ru_maxrss * 1024;
#endif
}

void grist_system_refuse_memory(size_t bytes) {
  /* One sentence, though several threads are refused. */
  static atomic_flag said = ATOMIC_FLAG_INIT;
  while (atomic_flag_test_and_set(&said)) pause();
  char text[128];
  /* snprintf of a number takes no memory of its own. */
  snprintf(text, sizeof text, "gristmill: the system refuses %zu bytes of memory; ask for less, or lift its limit\n", bytes);
  write_text(text);
  unlink_temporaries();
  _exit(71);
}

#ifdef O_TMPFILE
static void name_of_descriptor(int descriptor, char *name, size_t length) {
  snprintf(name, length, "/proc/self/fd/%d", descriptor);
}
#endif

int grist_system_open_unnamed(const char *directory) {
#ifdef O_TMPFILE
  int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (descriptor < 0) return -1;
  /* Without /proc it could never be named, which is better known before hours of writing. */
  char link[64];
  name_of_descriptor(descriptor, link, sizeof link);
  if (access(link, F_OK) == 0) return descriptor;
  close(descriptor);
  return -1;
#else
  (void)directory;
  return -1;
#endif
}

int grist_system_link_unnamed(int descriptor, const char *path) {
#ifdef O_TMPFILE
  char source[64];
  name_of_descriptor(descriptor, source, sizeof source);
  return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
#else
  (void)descriptor, (void)path;
  errno = ENOTSUP;
  return -1;
#endif
}

void grist_system_return_large_pieces(size_t bytes) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, bytes > 1 << 30 ? 1 << 30 : (int)bytes);
#else
  (void)bytes;
#endif
}
