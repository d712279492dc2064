/* The helper has no privileges to lose: it talks over one socket, reads one file that is open already, and can neither
   open, create, send nor run anything. */
#ifndef GRIST_HDF5_CONFINE_H
#define GRIST_HDF5_CONFINE_H

enum {
  kAddressSpaceLimit = 1 << 30, /* bytes */
  kRequestSeconds = 6,          /* processor time for one request */
};

/* Called before libhdf5 sees a byte. Returns what confines the process, as text for people. */
const char *confine(void);

/* Starts the processor time of a request anew; the system ends the process (SIGPROF) when it is spent. */
void start_clock(void);

#endif
