#include "common/formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "common/base/error.h"
#include "common/formats/file_reader.h"

namespace saemill {
namespace detail {
uint32_t crc32c_by_tables(uint32_t crc, std::span<const std::byte> bytes);
}

namespace {

using Sink = std::function<void(std::span<const std::byte>)>;

std::string packed(const std::string& header, size_t data_bytes) {
  std::string text;
  for (size_t i = 0; i < 8; ++i) text += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  return text + header + std::string(data_bytes, '\0');
}

SafetensorsHeader parse(const std::string& content) {
  return parse_safetensors_header(std::as_bytes(std::span(content)), content.size(), "x.safetensors");
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

SafetensorsTensor tensor_of(const std::string& name, const std::vector<float>& values,
                            std::vector<int64_t> shape, size_t piece) {
  return {name, "F32", std::move(shape), [&values, piece](const Sink& sink) {
            auto bytes = std::as_bytes(std::span(values));
            for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
              sink(bytes.first(std::min(piece, bytes.size())));
            }
          }};
}

TEST(Crc32c, KnownValuesAndContinuation) {
  const std::string digits = "123456789";
  const auto bytes = std::as_bytes(std::span(digits));
  EXPECT_EQ(crc32c(0, bytes), 0xe3069283u);
  EXPECT_EQ(detail::crc32c_by_tables(0, bytes), 0xe3069283u);
  EXPECT_EQ(crc32c(0, {}), 0u);
  const std::vector<std::byte> zeros(32);
  EXPECT_EQ(crc32c(0, zeros), 0x8a9136aau);  // RFC 3720, B.4
  std::vector<std::byte> many(1027);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::byte>(i * 37 + i / 256);
  const uint32_t whole = crc32c(0, many);
  EXPECT_EQ(detail::crc32c_by_tables(0, many), whole);
  for (const size_t cut : {size_t{1}, size_t{7}, size_t{500}, many.size()}) {
    EXPECT_EQ(crc32c(crc32c(0, std::span(many).first(cut)), std::span(many).subspan(cut)), whole);
  }
}

TEST(Safetensors, RoundTrip) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_round.safetensors";
  std::vector<float> big(700'001), small(6), none;
  std::iota(big.begin(), big.end(), 0.5f);
  std::iota(small.begin(), small.end(), -3.0f);
  const std::vector<SafetensorsTensor> tensors{tensor_of("z \"quoted\"", big, {700'001}, 4093),
                                               tensor_of("a", small, {2, 3}, 1 << 20),
                                               tensor_of("empty", none, {0, 3}, 1)};
  const std::map<std::string, std::string> metadata{{"model_name", "gpt2"}, {"hook_name", "blocks.0"}};
  const WrittenFile written = write_safetensors(real_file_system(), path, tensors, metadata);
  const std::string content = read_file(path);
  EXPECT_EQ(written.bytes, content.size());
  EXPECT_EQ(written.crc32c, crc32c(0, std::as_bytes(std::span(content))));

  const SafetensorsHeader header = read_safetensors_header(path);
  EXPECT_EQ(header.metadata, metadata);
  ASSERT_EQ(header.tensors.size(), 3u);
  const SafetensorsEntry& first = header.tensors.at("z \"quoted\"");
  const SafetensorsEntry& second = header.tensors.at("a");
  EXPECT_EQ(first.begin % 8, 0u);
  EXPECT_EQ(second.begin, first.begin + first.bytes) << "tensors lie in the given order";
  EXPECT_EQ(second.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(second.dtype, "F32");
  std::vector<float> back(big.size());
  std::memcpy(back.data(), content.data() + first.begin, first.bytes);
  EXPECT_EQ(back, big);
  const FileReader reader(path);
  back.resize(2);
  reader.read_at(second.begin + 4, std::as_writable_bytes(std::span(back)));
  EXPECT_EQ(back, (std::vector<float>{-2, -1}));
  EXPECT_THROW(reader.read_at(reader.size() - 1, std::as_writable_bytes(std::span(back))), Error);

  const WrittenFile again = write_safetensors(real_file_system(), path, tensors, metadata);
  EXPECT_EQ(again.crc32c, written.crc32c);
  EXPECT_EQ(read_file(path), content) << "equal input gives equal bytes";
  fs::remove(path);
}

TEST(Safetensors, ProduceMustGiveWhatTheShapeNeeds) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_wrong.safetensors";
  const std::vector<float> values(5);
  try {
    write_safetensors(real_file_system(), path, {tensor_of("a", values, {6}, 8)});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::internal);
  }
  fs::remove(path);
}

TEST(Safetensors, AcceptsWhatOthersWrite) {
  const SafetensorsHeader header = parse(packed(
      R"({"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]},"a":{"shape":[2],"data_offsets":[0,8],)"
      R"("dtype":"F32"},"__metadata__":{"format":"pt"}}   )",
      10));
  EXPECT_EQ(header.tensors.at("b").bytes, 2u);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  EXPECT_TRUE(parse(packed("{}", 0)).tensors.empty());
}

TEST(Safetensors, RefusesFilesThatAreNotThere) {
  for (const fs::path& path : {fs::path("/nonexistent/x.safetensors"), fs::path("/tmp")}) {
    try {
      read_safetensors_header(path);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_data);
      EXPECT_TRUE(std::string(error.what()).starts_with(path.string())) << error.what();
    }
  }
}

TEST(Safetensors, RefusesDamage) {
  const std::string four_gib_floats = "[4611686018427387904,4]";
  std::string long_header = packed("{}", 0), huge_header = long_header, largest_header = long_header;
  long_header[0] = 3;
  huge_header[4] = 1;
  for (size_t i = 0; i < 8; ++i) largest_header[i] = '\xff';
  const std::string two = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                          R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})";
  const std::string twice = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  const struct {
    const char* name;
    std::string content;
    const char* found;  // must be in the message
  } cases[] = {
      {"empty", "", "has 0 bytes"},
      {"too short", "1234567", "has 7 bytes"},
      {"header beyond the file", long_header, "header length is 3, but only 2 bytes follow"},
      {"header over 100 MB", huge_header, "at most 100000000"},
      {"header length that overflows", largest_header, "header length is 18446744073709551615"},
      {"not JSON", packed("{\"a\":", 0), "not JSON"},
      {"not UTF-8", packed("{\"\xff\":1}", 0), "not JSON"},
      {"not an object", packed("[1,2]", 0), "the header is [1,2]"},
      {"entry not an object", packed(R"({"a":5})", 0), "tensor \"a\": it is 5"},
      {"metadata not an object", packed(R"({"__metadata__":[]})", 0), "__metadata__ is []"},
      {"metadata of numbers", packed(R"({"__metadata__":{"x":1}})", 0), "__metadata__ \"x\" is 1"},
      {"no dtype", packed(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4), "has no dtype"},
      {"no shape", packed(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4), "has no shape"},
      {"no offsets", packed(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "has no data_offsets"},
      {"unknown dtype", packed(one("\"F8\"", "[4]", "[0,4]"), 4), "dtype is \"F8\"; accepted: F64"},
      {"dtype not a string", packed(one("4", "[1]", "[0,4]"), 4), "dtype is 4"},
      {"negative shape", packed(one("\"F32\"", "[-1]", "[0,4]"), 4), "shape is [-1]"},
      {"fractional shape", packed(one("\"F32\"", "[1.5]", "[0,4]"), 4), "shape is [1.5]"},
      {"shape not an array", packed(one("\"F32\"", "1", "[0,4]"), 4), "shape is 1"},
      {"shape overflow", packed(one("\"F32\"", four_gib_floats, "[0,0]"), 0), "less than 2^63 bytes"},
      {"extent overflow", packed(one("\"U8\"", "[18446744073709551615]", "[0,1]"), 1), "less than 2^63"},
      {"offsets reversed", packed(one("\"F32\"", "[1]", "[4,0]"), 4), "not after the end"},
      {"offsets outside", packed(one("\"F32\"", "[1]", "[4,8]"), 4), "at most 4, the bytes of data"},
      {"offsets negative", packed(one("\"F32\"", "[1]", "[-4,0]"), 4), "data_offsets is [-4,0]"},
      {"three offsets", packed(one("\"F32\"", "[1]", "[0,4,4]"), 4), "[begin, end]"},
      {"offsets not numbers", packed(one("\"F32\"", "[1]", "\"0,4\""), 4), "[begin, end]"},
      {"offsets against shape", packed(one("\"F32\"", "[2]", "[0,4]"), 8), "8 bytes, as shape [2] of F32"},
      {"overlap", packed(two, 7), "\"a\" and \"b\" overlap"},
      {"one name twice", packed(twice, 2), "names \"a\" twice"},
      {"truncated data", packed(one("\"F32\"", "[2]", "[0,8]"), 7), "at most 7"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    try {
      parse(test.content);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.code(), ErrorCode::bad_data);
      EXPECT_TRUE(message.starts_with("x.safetensors: ")) << message;
      EXPECT_NE(message.find(test.found), std::string::npos) << message;
    }
  }
}

// The refusals of what is read from disk are the same, and a length that lies does not allocate.
TEST(Safetensors, RefusesDamageOnDisk) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_damaged.safetensors";
  std::string content = packed("{}", 0);
  content[3] = 5;  // 80 MB of header
  for (const std::string& text : {content, std::string("abc"), std::string()}) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    EXPECT_THROW(read_safetensors_header(path), Error);
  }
  fs::remove(path);
}

// Cutting or flipping any byte may be refused or not; it must never read outside or throw anything else.
TEST(Safetensors, SurvivesEveryDamagedByte) {
  const std::string good = packed(one("\"F32\"", "[2,3]", "[0,24]"), 24);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
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
