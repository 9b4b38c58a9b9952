#define SAEMILL_CONVERTERS converters_avx512
#define SAEMILL_ISA "avx512"
#include "engine/data/convert_impl.h"
