#include <stddef.h>
#include <stdio.h>
/* jpeglib.h uses size_t and FILE without including what declares them. */
#include <jpeglib.h>
