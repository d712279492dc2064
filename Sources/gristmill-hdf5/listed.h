/* What a group says it holds. Older Keras lists a model's layers in the attribute `layer_names`, and a layer's variables in
   `weight_names`; lists too long for one attribute go on in `layer_names0`, `layer_names1` and so on. */
#ifndef GRIST_HDF5_LISTED_H
#define GRIST_HDF5_LISTED_H

#include <hdf5.h>
#include <stdbool.h>

#include "catalogue.h"

/* Whether everything that the group at `path` lists is in it; `catalogue` knows the datasets up to here. False with a refusal
   given. */
bool check_listed(hid_t group, const char *path, const struct catalogue *catalogue);

#endif
