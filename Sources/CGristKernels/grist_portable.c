#define GRIST_ISA portable
#include "grist_template.h"

#include "grist_tables.h"

const grist_kernel_table grist_table_portable = {GRIST_TABLE_ENTRIES};
