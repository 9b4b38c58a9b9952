#include "common/base/version.h"

namespace saemill {

const char* const kVersion = SAEMILL_VERSION;

}  // namespace saemill
