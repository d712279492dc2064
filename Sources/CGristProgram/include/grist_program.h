/* What the program gristmill replaces of the system's library; see grist_allocation.c. */
#ifndef GRIST_PROGRAM_H
#define GRIST_PROGRAM_H

/* Does nothing: a call keeps the allocator in the program. */
void grist_program_is_linked(void);

#endif
