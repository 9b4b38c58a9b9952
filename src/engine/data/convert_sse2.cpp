#define SAEMILL_CONVERTERS converters_sse2
#define SAEMILL_ISA "sse2"
#include "engine/data/convert_impl.h"
