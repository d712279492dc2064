#define _GNU_SOURCE
#include "confine.h"

#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "driver.h"
#include "wire.h"

#ifdef __linux__
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

/* A sanitizer's address space is beyond any limit, its system calls are beyond the filter, and leaks cannot be looked for in a
   process that none may watch. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static void limit(int resource, rlim_t value) {
  struct rlimit limits = {.rlim_cur = value, .rlim_max = value};
  setrlimit(resource, &limits);
}

static void close_what_was_inherited(void) {
  int last = (int)sysconf(_SC_OPEN_MAX);
#ifdef SYS_close_range
  if (syscall(SYS_close_range, kFile + 1, ~0U, 0) == 0) return;
#endif
  for (int descriptor = kFile + 1; descriptor < last && descriptor < 65536; descriptor++) close(descriptor);
}

/* Root would be above some of the limits. */
static void drop_root(void) {
  enum { kNobody = 65534 };
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) return;
}

#ifdef __linux__
#if defined(__x86_64__)
enum { kArchitecture = AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { kArchitecture = AUDIT_ARCH_AARCH64 };
#else
enum { kArchitecture = 0 };
#endif

/* What a process that computes and talks over descriptors it has needs. Everything else fails with EPERM. */
static const int kAllowed[] = {
    SYS_read,        SYS_write,         SYS_pread64,      SYS_writev,       SYS_lseek,
    SYS_munmap,      SYS_mremap,        SYS_madvise,      SYS_brk,
    SYS_futex,       SYS_rt_sigaction,  SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_clock_gettime,
    SYS_gettimeofday, SYS_getrandom,    SYS_getpid,       SYS_gettid,       SYS_exit,
    SYS_exit_group,  SYS_sched_yield,
};

/* Those that are needed in one way only: an argument must equal a value, or have none of its bits. */
struct restricted_call {
  int number, argument;
  bool by_bits;
  unsigned value;
};
enum { kLengthOfRestricted = 5 };

static void restrict_call(struct sock_filter *program, struct restricted_call call) {
  unsigned where = offsetof(struct seccomp_data, args) + (unsigned)call.argument * sizeof(__u64);
  program[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call.number, 0, kLengthOfRestricted - 1);
  program[1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, where); /* the lower half: both CPUs are little-endian */
  program[2] = call.by_bits ? (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, call.value, 0, 1)
                            : (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.value, 1, 0);
  program[3] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  program[4] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

static int filter_calls(void) {
  enum { kCount = sizeof kAllowed / sizeof *kAllowed };
  if (kArchitecture == 0) return -1;
  /* abort() signals its own process, the clock is one of three, and memory never holds a program. */
  const struct restricted_call restricted[] = {
      {SYS_tgkill, 0, false, (unsigned)getpid()},
      {SYS_setitimer, 0, false, ITIMER_PROF},
      {SYS_mmap, 2, true, PROT_EXEC},
      {SYS_mprotect, 2, true, PROT_EXEC},
  };
  enum { kRestricted = sizeof restricted / sizeof *restricted };
  struct sock_filter program[kCount + kRestricted * kLengthOfRestricted + 6];
  int next = 0;
  program[next++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  program[next++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  program[next++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  program[next++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < kRestricted; i++, next += kLengthOfRestricted) restrict_call(program + next, restricted[i]);
  for (int i = 0; i < kCount; i++) {
    program[next++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAllowed[i], (unsigned char)(kCount - i), 0);
  }
  program[next++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  program[next++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {.len = (unsigned short)next, .filter = program};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
#endif

const char *confine(void) {
  (void)greatest_hold(); /* asks the system, which it cannot later */
  close_what_was_inherited();
  drop_root();
  /* What is held, and as much again as libhdf5 and one chunk may take. */
  if (!IS_SANITIZED) limit(RLIMIT_AS, (rlim_t)greatest_hold() + (1 << 30));
  /* Behind the clock that this process could set itself: so much for the whole file, whatever happens here. */
  limit(RLIMIT_CPU, 600 + (rlim_t)(file_length() >> 18));
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NOFILE, kFile + 1);
#ifdef __linux__
  limit(RLIMIT_NPROC, 0);
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!IS_SANITIZED && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_calls() == 0)
    return "a system-call filter (seccomp) and resource limits";
#endif
  return "resource limits";
}

unsigned long long greatest_hold(void) {
  static unsigned long long hold;
  if (hold != 0) return hold;
  enum { kAlways = 256 << 20 };
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  unsigned long long half = pages > 0 && page > 0 ? (unsigned long long)pages * (unsigned long long)page / 2 : 0;
  unsigned long long most = 16 * (unsigned long long)file_length();
  if (most > half) most = half;
  hold = most > kAlways ? most : kAlways;
  return hold;
}

static unsigned long long read_for_request;

static void wind_clock(void) {
  struct itimerval clock = {.it_value = {.tv_sec = kRequestSeconds}};
  setitimer(ITIMER_PROF, &clock, NULL);
}

void note_progress(unsigned long long bytes) {
  enum { kTimes = 4, kStep = 1 << 20 };
  unsigned long long before = read_for_request;
  read_for_request += bytes;
  if (read_for_request / kStep == before / kStep) return;
  if (read_for_request <= kTimes * (unsigned long long)file_length() + (64 << 20)) wind_clock();
}

void start_clock(void) {
  read_for_request = 0;
  wind_clock();
}
