#define _GNU_SOURCE
#include "confine.h"

#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "wire.h"

#ifdef __linux__
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
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
    SYS_mmap,        SYS_munmap,        SYS_mremap,       SYS_mprotect,     SYS_madvise,   SYS_brk,
    SYS_futex,       SYS_rt_sigaction,  SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_setitimer, SYS_clock_gettime,
    SYS_gettimeofday, SYS_getrandom,    SYS_getpid,       SYS_gettid,       SYS_tgkill,    SYS_exit,
    SYS_exit_group,  SYS_sched_yield,
};

static int filter_calls(void) {
  enum { kCount = sizeof kAllowed / sizeof *kAllowed };
  if (kArchitecture == 0) return -1;
  struct sock_filter program[kCount + 6];
  int next = 0;
  program[next++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  program[next++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  program[next++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  program[next++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
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
  close_what_was_inherited();
  drop_root();
  if (!IS_SANITIZED) limit(RLIMIT_AS, kAddressSpaceLimit);
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

void start_clock(void) {
  struct itimerval clock = {.it_value = {.tv_sec = kRequestSeconds}};
  setitimer(ITIMER_PROF, &clock, NULL);
}
