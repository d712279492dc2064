#include "refusal.h"

#include <hdf5.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "wire.h"

enum { kTextLength = 1024 };

static struct {
  bool given;
  char what[kTextLength], place[kTextLength], found[kTextLength], advice[kTextLength];
} reason;

static void put(char *text, const char *value) { snprintf(text, kTextLength, "%s", value ? value : ""); }

bool refuse(const char *place, const char *what, const char *advice, const char *found, ...) {
  if (reason.given) return false;
  reason.given = true;
  put(reason.what, what);
  put(reason.place, place);
  put(reason.advice, advice);
  reason.found[0] = 0;
  if (found) {
    va_list values;
    va_start(values, found);
    vsnprintf(reason.found, kTextLength, found, values);
    va_end(values);
  }
  return false;
}

static herr_t keep_innermost(unsigned depth, const H5E_error2_t *error, void *text) {
  (void)depth;
  if (error->desc && error->desc[0]) put(text, error->desc);
  return 0;
}

bool refuse_library(const char *place, const char *what) {
  char message[kTextLength] = "";
  /* Downward: from the call that was made to where it failed. */
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, message);
  /* What a newer HDF5 wrote may be sound, and is not to be had here. */
  bool is_newer = strstr(message, "version number") != NULL;
  return refuse(place, what,
                is_newer ? "a newer HDF5 may have written the file: write it again with h5py and libver=('earliest', 'v110')"
                         : "the file is damaged: fetch it again, or write it again with h5py",
                "%s", message[0] ? message : "an error without a message");
}

bool answer_refusal(void) {
  char bytes[4 * kTextLength];
  size_t length = 0;
  if (!reason.given) put(reason.what, "the file cannot be read");
  for (int i = 0; i < 4; i++) {
    const char *text = i == 0 ? reason.what : i == 1 ? reason.place : i == 2 ? reason.found : reason.advice;
    size_t count = strlen(text) + 1;
    memcpy(bytes + length, text, count);
    length += count;
  }
  memset(&reason, 0, sizeof reason);
  return write_answer(kRefused, bytes, length);
}
