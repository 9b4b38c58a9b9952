#define SAEMILL_KERNELS kernels_sse2
#define SAEMILL_ISA "sse2"
#define SAEMILL_LANES 4
#include "engine/backend/cpu/kernels_impl.h"
