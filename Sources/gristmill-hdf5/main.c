/* gristmill-hdf5: reads one HDF5 file for Gristmill, in a process that has nothing to lose. libhdf5 is attacked through
   the files it reads; a fault, a hang or a limit here ends as a sentence there. Not for people: see wire.h. */
#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "confine.h"
#include "dataset.h"
#include "driver.h"
#include "refusal.h"
#include "wire.h"

enum { kGreatestAnswer = 64 << 20 };

static const char *confinement;
static hid_t file = -1;
static struct catalogue catalogue;
static bool is_catalogued;

static bool hello(void) {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  char text[256];
  int length = snprintf(text, sizeof text, "libhdf5 %u.%u.%u in a process of its own, confined by %s", major, minor,
                        release, confinement);
  return write_answer(kDone, text, (size_t)length);
}

static bool list(void) {
  if (is_catalogued) return write_answer(kDone, catalogue.bytes, catalogue.length);
  file = open_file();
  if (file < 0) {
    refuse_library("", "not a file that libhdf5 can open");
    return answer_refusal();
  }
  is_catalogued = make_catalogue(file, &catalogue);
  return is_catalogued ? write_answer(kDone, catalogue.bytes, catalogue.length) : answer_refusal();
}

static bool send_elements(const struct request *request) {
  static char *bytes;
  if (!bytes) bytes = malloc(kGreatestAnswer);
  if (!bytes || !is_catalogued || request->index >= catalogue.count) {
    refuse("", "the helper was asked for what it does not have", "", NULL);
    return answer_refusal();
  }
  const struct tensor *tensor = &catalogue.tensors[request->index];
  if (request->first > tensor->elements || request->count > tensor->elements - request->first ||
      request->count > kGreatestAnswer / tensor->element_size) {
    refuse(tensor->path, "the helper was asked for more than there is", "", NULL);
    return answer_refusal();
  }
  if (!read_elements(file, tensor, request->first, request->count, bytes)) return answer_refusal();
  return write_answer(kDone, bytes, request->count * tensor->element_size);
}

/* A number that is nothing but digits. */
static bool read_number(const char *text, hsize_t *number) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno || *end || *text < '0' || *text > '9') return false;
  *number = value;
  return true;
}

/* Arguments: where in the descriptor's file the HDF5 file begins, and its length, in bytes. */
int main(int count, char **arguments) {
  hsize_t start = 0, length = 0;
  if (count != 3 || !read_number(arguments[1], &start) || !read_number(arguments[2], &length)) return 64;
  if (!measure_file(start, length)) return 66;
  confinement = confine();
  start_clock();
  if (H5dont_atexit() < 0 || H5open() < 0) return 70;
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5PLset_loading_state(0);
  struct request request;
  bool goes_on = true;
  while (goes_on && read_request(&request)) {
    start_clock();
    H5Eclear2(H5E_DEFAULT);
    switch (request.operation) {
      case kHello: goes_on = hello(); break;
      case kCatalogue: goes_on = list(); break;
      case kRead: goes_on = send_elements(&request); break;
      default: goes_on = false;
    }
  }
  /* Nothing is worth closing a hostile file for. */
  _Exit(0);
}
