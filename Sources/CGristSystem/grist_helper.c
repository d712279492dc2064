#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grist_system.h"

/* A copy of `descriptor` out of the way of those that the helper is given; closed on exec. */
static int raised_copy(int descriptor) {
  enum { kOutOfTheWay = 16 };
  return fcntl(descriptor, F_DUPFD_CLOEXEC, kOutOfTheWay);
}

static int spawn(const char *path, char *const arguments[], int socket_end, int file, int file_target, int *process) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  char *environment[] = {NULL};
  pid_t started = -1;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (!error) {
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, socket_end, STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, file, file_target);
    if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (!error) error = posix_spawn(&started, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  *process = (int)started;
  return error;
}

int grist_system_start_helper(const char *path, uint64_t start, uint64_t length, int file, int file_target,
                              int *process, int *connection) {
  char start_text[24], length_text[24];
  snprintf(start_text, sizeof start_text, "%llu", (unsigned long long)start);
  snprintf(length_text, sizeof length_text, "%llu", (unsigned long long)length);
  char *const arguments[] = {(char *)path, start_text, length_text, NULL};

  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
  int ours = raised_copy(ends[0]), theirs = raised_copy(ends[1]), input = raised_copy(file);
  int error = ours < 0 || theirs < 0 || input < 0 ? errno : 0;
  close(ends[0]);
  close(ends[1]);
  if (!error) error = spawn(path, arguments, theirs, input, file_target, process);
  if (theirs >= 0) close(theirs);
  if (input >= 0) close(input);
  if (error && ours >= 0) close(ours);
  *connection = error ? -1 : ours;
  return error;
}

/* 0 when the connection is ready, else -1 with errno. */
static int await(int connection, short what, int milliseconds) {
  struct pollfd wait = {.fd = connection, .events = what};
  int ready = poll(&wait, 1, milliseconds);
  if (ready == 0) errno = ETIMEDOUT;
  return ready > 0 ? 0 : -1;
}

long grist_system_send(int connection, const void *bytes, size_t length, int milliseconds) {
  if (await(connection, POLLOUT, milliseconds) != 0) return -1;
  return send(connection, bytes, length, MSG_NOSIGNAL);
}

long grist_system_receive(int connection, void *bytes, size_t length, int milliseconds) {
  if (await(connection, POLLIN, milliseconds) != 0) return -1;
  return recv(connection, bytes, length, 0);
}

int grist_system_helper_signal(int process) {
  siginfo_t info = {0};
  while (waitid(P_PID, (id_t)process, &info, WEXITED | WNOWAIT) != 0)
    if (errno != EINTR) return 0;
  return info.si_code == CLD_EXITED ? 0 : info.si_status;
}

void grist_system_end_helper(int process) {
  kill(process, SIGKILL);
  while (waitpid(process, NULL, 0) < 0)
    if (errno != EINTR) return;
}
