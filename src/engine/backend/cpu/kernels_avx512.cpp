#define SAEMILL_KERNELS kernels_avx512
#define SAEMILL_ISA "avx512"
#define SAEMILL_LANES 16
#include "engine/backend/cpu/kernels_impl.h"
