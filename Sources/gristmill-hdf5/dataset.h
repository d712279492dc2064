/* Whether a dataset is one that Gristmill reads, decided before its data are touched. */
#ifndef GRIST_HDF5_DATASET_H
#define GRIST_HDF5_DATASET_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "catalogue.h"

struct description {
  const char *element_type;
  hsize_t stored;  /* bytes in the file */
  uint64_t offset; /* all ones where the data are not in one place */
};

/* Fills shape, sizes and description. False with a refusal given: a type, layout or filter outside the allowed ones, or
   sizes that the file cannot hold. */
bool describe_dataset(hid_t dataset, const char *path, struct tensor *tensor, struct description *about);

/* Elements first ..< first + count, row-major, little-endian, into `bytes`. False with a refusal given. */
bool read_elements(hid_t file, const struct tensor *tensor, hsize_t first, hsize_t count, void *bytes);

#endif
