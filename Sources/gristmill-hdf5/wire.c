#include "wire.h"

#include <errno.h>
#include <unistd.h>

static bool write_all(const void *bytes, size_t length) {
  const char *next = bytes;
  while (length > 0) {
    ssize_t written = write(kSocket, next, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    next += written;
    length -= (size_t)written;
  }
  return true;
}

bool read_request(struct request *request) {
  char *next = (char *)request;
  size_t left = sizeof *request;
  while (left > 0) {
    ssize_t got = read(kSocket, next, left);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    left -= (size_t)got;
  }
  return true;
}

bool write_answer(enum status status, const void *bytes, size_t length) {
  struct answer answer = {.status = status, .length = length};
  return write_all(&answer, sizeof answer) && write_all(bytes, length);
}
