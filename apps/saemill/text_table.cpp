#include "text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace saemill {
namespace {

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // of UTF-8
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

// Its first `count` characters.
std::string cut(const std::string& text, size_t count) {
  size_t end = 0;
  for (; end < text.size(); ++end)
    if (begins_character(text[end]) && count-- == 0) break;
  return text.substr(0, end);
}

using Row = std::vector<TextCell>;

std::string line(const std::vector<Column>& columns, const std::vector<size_t>& widths, const Row& row,
                 size_t width, bool color) {
  std::string text;
  size_t used = 0;
  for (size_t i = 0; i < columns.size() && used < width; ++i) {
    if (columns[i].right && widths[i] > width - used) break;  // half a number says something wrong
    const std::string shown = cut(row[i].text, std::min(widths[i], width - used));
    const size_t have = characters(shown);
    const std::string space(widths[i] - have, ' ');
    if (columns[i].right) text += space;
    text += color && row[i].color != nullptr && have > 0
                ? fmt::format("\x1b[{}m{}\x1b[0m", row[i].color, shown)
                : shown;
    if (!columns[i].right) text += space;
    text += "  ";
    used += widths[i] + 2;
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text + "\n";
}

}  // namespace

std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = c == '\n' || c == '\t' ? ' ' : '?';
  // U+0080 to U+009F are control characters too, of two bytes.
  for (size_t i = 0; i + 1 < text.size(); ++i)
    if (text[i] == '\xc2' && static_cast<unsigned char>(text[i + 1]) < 0xa0) text[i] = text[i + 1] = '?';
  return text;
}

std::string text_table(const std::vector<Column>& columns, const std::vector<std::vector<TextCell>>& rows,
                       size_t width, bool color) {
  std::vector<Row> lines(1);
  for (const Column& column : columns) lines.front().push_back({column.title});
  lines.insert(lines.end(), rows.begin(), rows.end());
  std::vector<size_t> widths(columns.size(), 0);
  for (Row& row : lines) {
    for (size_t i = 0; i < columns.size(); ++i) {
      row[i].text = printable(row[i].text);
      widths[i] = std::max(widths[i], std::min(columns[i].most, characters(row[i].text)));
    }
  }
  std::string text;
  for (const Row& row : lines) text += line(columns, widths, row, width, color);
  return text;
}

}  // namespace saemill
