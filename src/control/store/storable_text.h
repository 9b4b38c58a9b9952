// Text from outside, on its way into a database. Private to this folder.
#pragma once

#include <string>

namespace saemill {

// `text` with '?' for each byte that is no text (UTF-8, no zero). One byte that PostgreSQL refuses would keep
// a row, and all behind it, out of the store for ever. Names and messages come from drivers and other
// programs.
std::string storable(const std::string& text);

}  // namespace saemill
