/* Process-wide guards that must be async-signal-safe, and so cannot be written in Swift. */
#ifndef GRIST_SYSTEM_H
#define GRIST_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* After this call a fault inside a registered mapping (the file was shrunk by someone else) ends the program with a sentence
   and exit code 74. */
void grist_system_watch_faults(void);

/* Registers [base, base+length) as a mapping of the file at `path`. Returns a token for
   grist_system_unregister_mapping, or NULL where memory is refused (the mapping then faults with a bare SIGBUS). */
void *grist_system_register_mapping(const void *base, size_t length, const char *path);
void grist_system_unregister_mapping(void *token);

/* Registers a file to be unlinked when a signal ends the program. Returns a token, or NULL where memory is refused. */
void *grist_system_register_temporary(const char *path);
void grist_system_unregister_temporary(void *token);

/* After this call the first SIGINT, SIGTERM or SIGHUP only makes grist_system_interrupted() true, so that the work can end
   cleanly; a second one, or a second after SIGTERM, unlinks the registered temporaries and ends the program. SIGPIPE ends it
   after unlinking them; SIGXFSZ is ignored, so that write(2) fails. */
void grist_system_watch_interrupts(void);
/* The number of the first signal seen, or 0. */
int grist_system_interrupted(void);

/* Gives memory that was freed, and that the allocator keeps for later, back to the system, where that is more than `kept`
   bytes. */
void grist_system_return_memory(size_t kept);

/* From now on, pieces of `bytes` or more go back to the system as soon as they are freed; else the allocator keeps those
   of sizes that it has seen freed before, up to 32 MB each. */
void grist_system_return_large_pieces(size_t bytes);

/* Peak resident set size of this process in bytes, 0 where the system does not tell. */
size_t grist_system_peak_resident_bytes(void);

/* Says that `bytes` of memory were refused, unlinks the registered temporaries, and ends the program with 71. For
   allocators, which cannot fail otherwise. */
_Noreturn void grist_system_refuse_memory(size_t bytes);

/* open(2) with O_TMPFILE: an unnamed file in `directory` that vanishes with the process unless it is linked.
   Returns a descriptor, or -1 where the file system or the system has no such thing. */
int grist_system_open_unnamed(const char *directory);
/* Gives an unnamed file its name. Returns 0, or -1 with errno. The name must not exist. */
int grist_system_link_unnamed(int descriptor, const char *path);

/* Starts the program at `path`, without environment; its arguments are `start` and `length`, the bytes of `file` that it is
   to read. Its descriptor 0 is one end of a stream socket, 1 and 2 lead nowhere, `file_target` is a copy of `file`, and signals are as the system sets them. Returns 0 with the process and
   the other end of the socket, which closes in programs that this one starts; else an errno value. */
int grist_system_start_helper(const char *path, uint64_t start, uint64_t length, int file, int file_target,
                              int *process, int *connection);
/* send(2) and recv(2) of at most `length` bytes, waiting no longer than `milliseconds`; a peer that is gone raises no
   signal. Return the bytes moved, 0 at the end of the stream, or -1 with errno (ETIMEDOUT after the wait). */
long grist_system_send(int connection, const void *bytes, size_t length, int milliseconds);
long grist_system_receive(int connection, void *bytes, size_t length, int milliseconds);
/* Waits for the helper to end, and gives the signal that ended it; 0 if it ended by itself. It is still to be reaped. */
int grist_system_helper_signal(int process);
/* Ends the helper if it runs, and reaps it. */
void grist_system_end_helper(int process);

#endif
