// The interface of libFuzzer, which comes with the Swift toolchain without a header (https://llvm.org/docs/LibFuzzer.html).
#include <stddef.h>
#include <stdint.h>

/// Runs the fuzzer with the options of its command line.
/// @param target gets each input; 0 keeps it, -1 keeps it out of the corpus.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *data, size_t size));
