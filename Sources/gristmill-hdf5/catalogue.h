/* Everything in the file that is a tensor, found without following a link that leads anywhere else.

   An answer's entry: u32 length and bytes of the path (no leading slash), u32 length and bytes of the element type (as
   in ElementType of GristCore), u32 rank, that many u64 extents, u64 offset of the data in the file (all ones where it
   is not in one place). */
#ifndef GRIST_HDF5_CATALOGUE_H
#define GRIST_HDF5_CATALOGUE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { kGreatestRank = 16 };

struct tensor {
  char *path;
  haddr_t object;
  size_t element_size;
  int rank;
  hsize_t shape[kGreatestRank];
  hsize_t elements;
  /* Bytes that libhdf5 should keep of decoded chunks, so that reading row by row decodes each once; 0 if not chunked. */
  hsize_t chunk_rows;    /* rows that a chunk reaches over; 0 where there are no chunks */
  hsize_t chunks_of_row; /* chunks that one row lies in */
};

struct catalogue {
  struct tensor *tensors;
  size_t count, capacity;
  char *bytes;
  size_t length, room;
};

/* False with a refusal given. */
bool make_catalogue(hid_t file, struct catalogue *catalogue);

#endif
