/* libhdf5's view of the file: a descriptor that is open already. Nothing else can be opened through it, so that an
   external link or a virtual dataset has nowhere to lead. */
#ifndef GRIST_HDF5_DRIVER_H
#define GRIST_HDF5_DRIVER_H

#include <hdf5.h>
#include <stdbool.h>

/* Says that the HDF5 file is `length` bytes of the descriptor's, from `start` on: it may be a member of an archive. Looks at
   how long the descriptor's file is, which a confined process may not; false when the bytes are not all there. */
bool measure_file(hsize_t start, hsize_t length);
/* The HDF5 file's length in bytes. */
hsize_t file_length(void);

/* Opens the file; negative when it is no HDF5 file that libhdf5 can open. */
hid_t open_file(void);

#endif
