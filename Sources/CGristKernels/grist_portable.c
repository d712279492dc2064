#if defined(__aarch64__)
#define GRIST_HAS_HALF /* every aarch64 converts halves */
#endif
#include "templates/grist_template.h"

#include "grist_tables.h"

const grist_kernel_table grist_table_portable = {GRIST_TABLE_ENTRIES("portable", attend)};
