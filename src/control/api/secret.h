// Random secrets and digests (OpenSSL's libcrypto).
#pragma once

#include <string>
#include <string_view>

namespace saemill::api {

std::string random_secret();  // 256 bits, base64url without padding
std::string sha256_hex(std::string_view bytes);
bool equal_in_constant_time(std::string_view a, std::string_view b);  // time depends on the lengths only

}  // namespace saemill::api
