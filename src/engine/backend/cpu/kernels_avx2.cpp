#define SAEMILL_KERNELS kernels_avx2
#define SAEMILL_ISA "avx2"
#define SAEMILL_LANES 8
#include "engine/backend/cpu/kernels_impl.h"
