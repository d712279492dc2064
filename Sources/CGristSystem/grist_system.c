#define _GNU_SOURCE
#include "grist_system.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { kSlots = 256, kPathLength = 1024 };

/* A slot is readable by a signal handler while `used` is 1: it is set last and cleared first. */
struct mapping_slot {
  atomic_int used;
  uintptr_t base;
  size_t length;
  char path[kPathLength];
};
struct temporary_slot {
  atomic_int used;
  char path[kPathLength];
};

static struct mapping_slot mappings[kSlots];
static struct temporary_slot temporaries[kSlots];
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
  for (int i = 0; i < kSlots; i++)
    if (atomic_load(&temporaries[i].used) == 1) unlink(temporaries[i].path);
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t address = (uintptr_t)info->si_addr;
  for (int i = 0; i < kSlots; i++) {
    if (atomic_load(&mappings[i].used) != 1) continue;
    if (address - mappings[i].base >= mappings[i].length) continue;
    write_text("gristmill: ");
    write_text(mappings[i].path);
    write_text(": the file shrank or its disk failed while it was being read; restore it and run again\n");
    unlink_temporaries();
    _exit(74);
  }
  signal(number, SIG_DFL);
  raise(number);
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

int grist_system_register_mapping(const void *base, size_t length, const char *path) {
  int token = -1;
  pthread_mutex_lock(&table_lock);
  for (int i = 0; i < kSlots && token < 0; i++) {
    if (atomic_load(&mappings[i].used) != 0) continue;
    mappings[i].base = (uintptr_t)base;
    mappings[i].length = length;
    snprintf(mappings[i].path, kPathLength, "%s", path);
    atomic_store(&mappings[i].used, 1);
    token = i;
  }
  pthread_mutex_unlock(&table_lock);
  return token;
}

void grist_system_unregister_mapping(int token) {
  if (token >= 0 && token < kSlots) atomic_store(&mappings[token].used, 0);
}

int grist_system_register_temporary(const char *path) {
  if (strlen(path) >= kPathLength) return -1;
  int token = -1;
  pthread_mutex_lock(&table_lock);
  for (int i = 0; i < kSlots && token < 0; i++) {
    if (atomic_load(&temporaries[i].used) != 0) continue;
    snprintf(temporaries[i].path, kPathLength, "%s", path);
    atomic_store(&temporaries[i].used, 1);
    token = i;
  }
  pthread_mutex_unlock(&table_lock);
  return token;
}

void grist_system_unregister_temporary(int token) {
  if (token >= 0 && token < kSlots) atomic_store(&temporaries[token].used, 0);
}

static void on_interrupt(int number) {
  int none = 0;
  if (atomic_compare_exchange_strong(&interrupted_by, &none, number)) return;
  unlink_temporaries();
  _exit(128 + number);
}

void grist_system_watch_interrupts(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_interrupt;
  /* No SA_RESTART: a signal ends a wait, for a reader of a full pipe for example; who waits looks for an interruption. */
  action.sa_flags = 0;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  /* A parent may have left them blocked. */
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGTERM);
  pthread_sigmask(SIG_UNBLOCK, &watched, NULL);
}

int grist_system_interrupted(void) { return atomic_load(&interrupted_by); }

size_t grist_system_peak_resident_bytes(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return (size_t)usage.ru_maxrss;
#else
  return (size_t)usage.ru_maxrss * 1024;
#endif
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
