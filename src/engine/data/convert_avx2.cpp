#define SAEMILL_CONVERTERS converters_avx2
#define SAEMILL_ISA "avx2"
#include "engine/data/convert_impl.h"
