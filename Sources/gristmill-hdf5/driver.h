/* libhdf5's view of the file: a descriptor that is open already. Nothing else can be opened through it, so that an
   external link or a virtual dataset has nowhere to lead. */
#ifndef GRIST_HDF5_DRIVER_H
#define GRIST_HDF5_DRIVER_H

#include <hdf5.h>

/* Looks at the file's length, which a confined process may not. */
void measure_file(void);
/* The file's length in bytes, as it was measured. */
hsize_t file_length(void);

/* Opens the file; negative when it is no HDF5 file that libhdf5 can open. */
hid_t open_file(void);

#endif
