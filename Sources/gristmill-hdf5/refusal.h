/* Why something was refused: the first reason given is the one that is told. */
#ifndef GRIST_HDF5_REFUSAL_H
#define GRIST_HDF5_REFUSAL_H

#include <stdbool.h>

/* Always returns false, so that a check can end in `return refuse(...)`. `found` is a printf format. */
bool refuse(const char *place, const char *what, const char *advice, const char *found, ...)
    __attribute__((format(printf, 4, 5)));

/* Refuses with the innermost message of libhdf5's error stack as what was found. */
bool refuse_library(const char *place, const char *what);

/* Sends what was refused, and forgets it. False when the other side is gone. */
bool answer_refusal(void);

#endif
