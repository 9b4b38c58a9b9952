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

std::span<const Asset> page_assets();  // the web application, or the page of a build without it (no_web.cpp)
std::span<const Asset> login_assets();

// Of both. Null: there is none.
const Asset* find_asset(std::string_view path);

}  // namespace saemill::api
