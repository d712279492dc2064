/* libFuzzer as a library: https://llvm.org/docs/LibFuzzer.html. The sanitizer's own runtime has it. */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one_input)(const uint8_t *data, size_t size));
