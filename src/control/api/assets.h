// The files of the web page, inside the program: looked up in a table, never in a file system.
#pragma once

#include <span>
#include <string_view>

namespace saemill::api {

struct Asset {
  std::string_view path;  // "/index.html"; "/" is that too
  std::string_view content_type;
  std::string_view body;
};

std::span<const Asset> assets();

// Null: there is none.
const Asset* find_asset(std::string_view path);

}  // namespace saemill::api
