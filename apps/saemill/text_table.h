// Rows of text in columns, for a terminal.
#pragma once

#include <string>
#include <vector>

namespace saemill {

struct Column {
  std::string title;
  size_t most = 1000;  // characters; longer cells are cut
  bool right = false;  // aligned, as numbers are, and shown whole or not at all
};

struct TextCell {
  std::string text;
  const char* color = nullptr;  // an SGR code
};

// Columns are as wide as their cells; lines are cut at `width` characters. Control characters, which would
// move the cursor, are replaced.
std::string text_table(const std::vector<Column>& columns, const std::vector<std::vector<TextCell>>& rows,
                       size_t width, bool color);

std::string printable(std::string text);  // on one line, whatever somebody named something

}  // namespace saemill
