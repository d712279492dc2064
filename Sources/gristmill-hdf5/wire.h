/* What the helper and Gristmill say to each other, over one stream socket, little-endian.

   Gristmill asks with a request; the helper answers each with an answer and `length` bytes. The file is an inherited
   descriptor: the helper can open nothing. The other side is Sources/GristSources/Checkpoints/HDF5/HDF5Wire.swift. */
#ifndef GRIST_HDF5_WIRE_H
#define GRIST_HDF5_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  kSocket = 0, /* descriptor that the conversation goes over */
  kFile = 3,   /* descriptor of the HDF5 file, read-only */
};

enum operation {
  kHello = 1,     /* bytes of the answer: how the helper is confined, as text */
  kCatalogue = 2, /* bytes: one entry a dataset, see catalogue.h */
  kRead = 3,      /* elements first ..< first + count of dataset `index`, row-major; bytes: the elements */
};

struct request {
  uint32_t operation;
  uint32_t index;
  uint64_t first;
  uint64_t count;
};

enum status { kDone = 0, kRefused = 1 };

/* The bytes of a refusal are four texts that end in NUL: what, place (path in the file), found, advice. */
struct answer {
  uint32_t status;
  uint32_t reserved;
  uint64_t length;
};

/* False when the other side is gone. */
bool read_request(struct request *request);
bool write_answer(enum status status, const void *bytes, size_t length);

#endif
