/* The helper has no privileges to lose: it talks over one socket, reads one file that is open already, and can neither
   open, create, send nor run anything. */
#ifndef GRIST_HDF5_CONFINE_H
#define GRIST_HDF5_CONFINE_H

enum {
  kRequestSeconds = 6, /* processor time that may pass in one request without progress */
};

/* Bytes of decoded data that may be held: a quarter of a GiB; of a large file up to sixteen times the file, where that is no
   more than half of the machine's memory. */
unsigned long long greatest_hold(void);

/* Called before libhdf5 sees a byte. Returns what confines the process, as text for people. */
const char *confine(void);

/* Starts the processor time of a request anew; the system ends the process (SIGPROF) when it is spent. */
void start_clock(void);

/* Says that `bytes` of the file were read for the request: its time begins anew, as long as all that was read for it is no more
   than a few times the file. So a large file takes its time, and one that leads in circles does not. */
void note_progress(unsigned long long bytes);

#endif
