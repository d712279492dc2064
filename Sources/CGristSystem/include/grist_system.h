/* Process-wide guards that must be async-signal-safe, and so cannot be written in Swift. */
#ifndef GRIST_SYSTEM_H
#define GRIST_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* Registers [base, base+length) as a mapping of the file at `path`, so that a fault inside it (the file was
   shrunk by someone else) ends the program with a sentence and exit code 74. Returns a token for
   grist_system_unregister_mapping, or -1 when the table is full (the mapping then faults with a bare SIGBUS). */
int grist_system_register_mapping(const void *base, size_t length, const char *path);
void grist_system_unregister_mapping(int token);

/* Registers a file to be unlinked when a signal ends the program. Returns a token, or -1 when the table is full. */
int grist_system_register_temporary(const char *path);
void grist_system_unregister_temporary(int token);

/* After this call the first SIGINT or SIGTERM only makes grist_system_interrupted() true, so that the work can end
   cleanly; a second one unlinks the registered temporaries and ends the program with 130 (143 for SIGTERM). */
void grist_system_watch_interrupts(void);
/* The number of the first signal seen, or 0. */
int grist_system_interrupted(void);

/* Peak resident set size of this process in bytes, 0 where the system does not tell. */
size_t grist_system_peak_resident_bytes(void);

/* open(2) with O_TMPFILE: an unnamed file in `directory` that vanishes with the process unless it is linked.
   Returns a descriptor, or -1 where the file system or the system has no such thing. */
int grist_system_open_unnamed(const char *directory);
/* Gives an unnamed file its name. Returns 0, or -1 with errno. The name must not exist. */
int grist_system_link_unnamed(int descriptor, const char *path);

#endif
