#include "common/formats/npy.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/base/error.h"

namespace saemill {
namespace {

std::string npy(int major, const std::string& dictionary, size_t data_bytes) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += '\0';
  const size_t prefix = major == 1 ? 10 : 12;
  std::string header = dictionary;
  while ((prefix + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  for (size_t i = 0; i < prefix - 8; ++i) text += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  return text + header + std::string(data_bytes, '\0');
}

NpyHeader parse(const std::string& content) {
  const auto bytes = std::as_bytes(std::span(content));
  return parse_npy_header(bytes.first(std::min<size_t>(bytes.size(), kNpyMaxHead)), content.size(), "x.npy");
}

std::string dictionary(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

TEST(Npy, ReadsVersionsAndShapes) {
  for (const int major : {1, 2, 3}) {
    const NpyHeader two = parse(npy(major, dictionary("'<f4'", "False", "(3, 4)"), 48));
    EXPECT_EQ(two.dtype, "F32");
    EXPECT_EQ(two.shape, (std::vector<int64_t>{3, 4}));
    EXPECT_EQ(two.data_offset, 128u);
    EXPECT_EQ(two.data_bytes, 48u);
    const NpyHeader three = parse(npy(major, dictionary("\"<f2\"", "False", "(2L, 3L, 4L,)"), 48));
    EXPECT_EQ(three.dtype, "F16");
    EXPECT_EQ(three.shape, (std::vector<int64_t>{2, 3, 4}));
  }
  EXPECT_EQ(parse(npy(1, "{'shape':(0,7),'fortran_order':False,'descr':'<f4'}", 0)).data_bytes, 0u);
}

TEST(Npy, ReadsFromDisk) {
  const auto path = std::filesystem::path(testing::TempDir()) / "saemill_read.npy";
  const std::string content = npy(1, dictionary("'<f4'", "False", "(3, 4)"), 48);
  std::ofstream(path, std::ios::binary) << content;
  EXPECT_EQ(read_npy_header(path).data_offset, content.size() - 48);
  std::filesystem::remove(path);
  EXPECT_THROW(read_npy_header(path), Error);
}

TEST(Npy, RefusesWhatItCannotRead) {
  const auto good = [](const std::string& shape, size_t bytes) {
    return npy(1, dictionary("'<f4'", "False", shape), bytes);
  };
  std::string long_header = good("(3, 4)", 48);
  long_header[9] = '\x7f';
  std::string huge_header = npy(2, dictionary("'<f4'", "False", "(3, 4)"), 48);
  huge_header[11] = '\x7f';
  const struct {
    const char* name;
    std::string content;
    const char* found;  // must be in the message
  } cases[] = {
      {"empty", "", "has 0 bytes"},
      {"short", "\x93NUMPY\x01", "has 7 bytes"},
      {"no length", std::string("\x93NUMPY\x02\x00\x10", 9), "has 9 bytes"},
      {"another format", "PK\x03\x04 and so on", "starts with 'PK"},
      {"version 4", npy(4, dictionary("'<f4'", "False", "(3, 4)"), 48), "version 4.0"},
      {"header beyond the file", long_header, "bytes follow it"},
      {"huge header", huge_header, "at most"},
      {"big endian", npy(1, dictionary("'>f4'", "False", "(3, 4)"), 48), "'>f4'"},
      {"double", npy(1, dictionary("'<f8'", "False", "(3, 4)"), 96), "'<f8'"},
      {"objects", npy(1, dictionary("'|O'", "False", "(3, 4)"), 96), "'|O'"},
      {"structured", npy(1, dictionary("[('a', '<f4')]", "False", "(3, 4)"), 48), "structured"},
      {"Fortran order", npy(1, dictionary("'<f4'", "True", "(3, 4)"), 48), "fortran_order True"},
      {"order of another kind", npy(1, dictionary("'<f4'", "0", "(3, 4)"), 48), "fortran_order '0"},
      {"one dimension", good("(12,)", 48), "shape (12,)"},
      {"no dimension", good("()", 48), "shape ()"},
      {"four dimensions", good("(1, 2, 3, 4)", 96), "two or three dimensions"},
      {"negative", good("(-3, 4)", 48), "whole numbers"},
      {"extent overflow", good("(99999999999999999999, 4)", 48), "below 2^63"},
      {"product overflow", good("(4611686018427387904, 4)", 48), "2^63 bytes"},
      {"product wraps to zero", good("(4611686018427387904, 4611686018427387904)", 0), "2^63 bytes"},
      {"data too short", good("(3, 4)", 47), "needs 48 bytes of data; the file has 47"},
      {"no shape", npy(1, "{'descr': '<f4', 'fortran_order': False}", 48), "no shape"},
      {"no descr", npy(1, "{'shape': (3, 4), 'fortran_order': False}", 48), "no descr"},
      {"no order", npy(1, "{'shape': (3, 4), 'descr': '<f4'}", 48), "no fortran_order"},
      {"another key", npy(1, "{'shape': (3, 4), 'x': 1}", 48), "key 'x'"},
      {"not a dictionary", npy(1, "[1, 2]", 48), "'{'"},
      {"not closed", npy(1, "{'descr': '<f4", 48), "without its end"},
      {"text after", npy(1, dictionary("'<f4'", "False", "(3, 4)") + " x", 48), "after the header"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    try {
      parse(test.content);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.code(), ErrorCode::bad_data);
      EXPECT_TRUE(message.starts_with("x.npy: ")) << message;
      EXPECT_NE(message.find(test.found), std::string::npos) << message;
    }
  }
}

// Cutting or flipping any byte of the head may be refused or not; it must never read outside or throw
// anything else.
TEST(Npy, SurvivesEveryDamagedByte) {
  const std::string good = npy(2, dictionary("'<f2'", "False", "(3, 4)"), 24);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x15);
    for (const std::string& content : {damaged, good.substr(0, i)}) {
      try {
        parse(content);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::bad_data) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace saemill
