#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/formats/safetensors.h"
#include "engine/data/activation_set.h"
#include "engine/data/batch_loader.h"
#include "engine/data/order.h"

namespace saemill {
namespace {

class Data : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("saemill_data_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  template <typename T>
  void shard(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
             const std::vector<T>& values, const std::string& tensor = "activations") {
    write_safetensors(
        real_file_system(), folder_ / name,
        {{tensor, dtype, shape, [&](const auto& sink) { sink(std::as_bytes(std::span(values))); }}},
        {{"hook", "h"}});
  }
  std::vector<float> row(const ActivationSet& set, int64_t r, float scale = 1) {
    std::vector<float> out(static_cast<size_t>(set.d_in()));
    set.read(r, scale, out);
    return out;
  }
  template <typename Work>
  void expect_error(Work&& work, const std::string& text) {
    try {
      work();
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_data);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  }
  fs::path folder_;
};

TEST_F(Data, FormatsAndShapes) {
  shard<float>("f32.safetensors", "F32", {2, 2}, {1.5f, -2, 3, 4});
  shard<uint16_t>("f16.safetensors", "F16", {1, 2, 2}, {0x3e00, 0xc000, 0x0001, 0x7bff});
  shard<uint16_t>("bf16.safetensors", "BF16", {2, 2}, {0x3fc0, 0xc000, 0x4040, 0x4080});
  EXPECT_EQ(row(*ActivationSet::open(folder_ / "f32.safetensors", ""), 0), (std::vector<float>{1.5f, -2}));
  const auto half = ActivationSet::open(folder_ / "f16.safetensors", "activations");
  EXPECT_EQ(half->rows(), 2);
  EXPECT_EQ(row(*half, 0), (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(row(*half, 1), (std::vector<float>{0x1.0p-24f, 65504}));
  EXPECT_EQ(row(*ActivationSet::open(folder_ / "bf16.safetensors", ""), 1, 2), (std::vector<float>{6, 8}));
  EXPECT_EQ(half->metadata().at("hook"), "h");
  std::ofstream npy(folder_ / "x.npy", std::ios::binary);
  const std::string dict =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";  // leaves the data unaligned
  npy << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(dict.size()) << '\0' << dict;
  const float values[] = {7, 8};
  npy.write(reinterpret_cast<const char*>(values), 8);
  npy.close();
  EXPECT_EQ(row(*ActivationSet::open(folder_ / "x.npy", ""), 0), (std::vector<float>{7, 8}));
}

TEST_F(Data, FolderInNameOrder) {
  shard<float>("b.safetensors", "F32", {1, 1}, {2});
  shard<float>("a.safetensors", "F32", {2, 1}, {0, 1});
  const auto set = ActivationSet::open(folder_, "");
  for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(row(*set, r)[0], static_cast<float>(r));
  EXPECT_EQ(set->files(), 2);
}

TEST_F(Data, WhatIsRefused) {
  expect_error([&] { ActivationSet::open(folder_, ""); }, "holds no shard");
  expect_error([&] { ActivationSet::open(folder_ / "none", ""); }, "no such file");
  shard<float>("a.safetensors", "F32", {1, 2}, {0, 1});
  expect_error([&] { ActivationSet::open(folder_, "other"); }, "activations");
  shard<float>("b.safetensors", "F32", {1, 3}, {0, 1, 2});
  expect_error([&] { ActivationSet::open(folder_, ""); }, "b.safetensors");
  fs::remove(folder_ / "b.safetensors");
  shard<int64_t>("b.safetensors", "I64", {1, 2}, {0, 1});
  expect_error([&] { ActivationSet::open(folder_, ""); }, "I64");
}

TEST_F(Data, BadRowsAreFoundWhenRead) {
  shard<float>("a.safetensors", "F32", {3, 2}, {0, 1, 2, std::nanf(""), 4, 5});
  const auto set = ActivationSet::open(folder_, "");
  EXPECT_EQ(row(*set, 0)[1], 1);
  expect_error([&] { row(*set, 1); }, "row 1, column 1");
  fs::resize_file(folder_ / "a.safetensors", fs::file_size(folder_ / "a.safetensors") - 4);
  expect_error([&] { row(*set, 2); }, "a.safetensors");
}

TEST_F(Data, NotFiniteInEveryType) {
  std::vector<float> f32(200, 1);
  std::vector<uint16_t> f16(200, 0x7bff), bf16(200, 0x7f7f);  // the largest finite ones
  f32[150] = -INFINITY, f16[151] = 0xfc00, bf16[152] = 0x7fc0;
  f32[199] = NAN, f16[199] = 0x7e00, bf16[199] = 0xff80;  // the first one is told
  shard<float>("a32.safetensors", "F32", {2, 100}, f32);
  shard<uint16_t>("a16.safetensors", "F16", {2, 100}, f16);
  shard<uint16_t>("b16.safetensors", "BF16", {2, 100}, bf16);
  for (const auto& [name, column] : {std::pair{"a32", 50}, {"a16", 51}, {"b16", 52}}) {
    const auto set = ActivationSet::open(folder_ / fmt::format("{}.safetensors", name), "");
    EXPECT_GT(row(*set, 0, 0.5f)[99], 0);
    expect_error([&] { row(*set, 1, 0.5f); },
                 fmt::format("{}.safetensors: row 1, column {} is not a finite number", name, column));
  }
}

// Each has the file open for itself; one that is replaced under its name is still the one that was opened.
TEST_F(Data, SeveralReaders) {
  std::vector<float> values(3000);
  std::iota(values.begin(), values.end(), 0.0f);
  shard<float>("a.safetensors", "F32", {1000, 3}, values);
  const auto descriptors = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = descriptors();
  auto set = ActivationSet::open(folder_, "", 4);
  EXPECT_EQ(set->readers(), 4);
  EXPECT_EQ(descriptors(), before + 4);
  shard<float>("b.safetensors", "F32", {1000, 3}, std::vector<float>(3000));
  fs::rename(folder_ / "b.safetensors", folder_ / "a.safetensors");
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int64_t r = t; r < 1000; r += 8) EXPECT_EQ(row(*set, r)[2], static_cast<float>(3 * r + 2));
    });
  for (std::thread& thread : threads) thread.join();
  set.reset();
  EXPECT_EQ(descriptors(), before);
}

// In memory now, of the pages of [begin, begin + bytes).
bool in_memory(const fs::path& path, size_t begin, size_t bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const size_t length = fs::file_size(path), page = 4096;
  void* mapped = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages(length / page + 1);
  EXPECT_EQ(::mincore(mapped, length, pages.data()), 0);
  ::munmap(mapped, length);
  ::close(fd);
  bool all = true;
  for (size_t at = begin / page; at <= (begin + bytes - 1) / page; ++at) all = all && (pages[at] & 1) != 0;
  return all;
}

bool drop_from_memory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const bool done = ::fsync(fd) == 0 && ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
  ::close(fd);
  return done;
}

// Rows of 4 KiB in two shards; 1 MiB over the border between them.
TEST_F(Data, WhatIsExpectedIsReadAhead) {
  const std::vector<float> values(1024 * 1024, 1.0f);
  for (const char* name : {"a.safetensors", "b.safetensors"}) shard<float>(name, "F32", {1024, 1024}, values);
  const auto set = ActivationSet::open(folder_, "");
  for (const char* name : {"a.safetensors", "b.safetensors"}) ASSERT_TRUE(drop_from_memory(folder_ / name));
  const size_t half = 128 * 4096, end = fs::file_size(folder_ / "a.safetensors");
  if (in_memory(folder_ / "b.safetensors", 0, half)) GTEST_SKIP() << folder_ << " lies in memory";
  set->expect(1024 - 128, 1024 + 128);
  const auto is_there = [&] {
    return in_memory(folder_ / "a.safetensors", end - half, half) &&
           in_memory(folder_ / "b.safetensors", 0, half);
  };
  for (int i = 0; i < 1000 && !is_there(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_there());
  EXPECT_FALSE(in_memory(folder_ / "a.safetensors", 0, end - half)) << "all of it";
}

TEST_F(Data, LoaderEqualsDirectReadingAtAnySplitAndStart) {
  std::vector<float> values(50);
  std::iota(values.begin(), values.end(), 0.0f);
  shard<float>("a.safetensors", "F32", {25, 2}, values);
  const auto set = ActivationSet::open(folder_, "");
  for (const int64_t first_step : {0, 3})
    for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, 10}, {0, 4}, {4, 10}, {10, 10}}) {
      std::vector<float> memory(2 * 20);
      BatchLoader loader(set, {{25, 9}, 10, first, last, first_step, 8, 0.5f},
                         {std::span(memory).first(20), std::span(memory).last(20)});
      for (int64_t step = first_step; step < 8; ++step) {
        const auto batch = loader.next();
        ASSERT_EQ(batch.size(), static_cast<size_t>(2 * (last - first)));
        for (int64_t r = first; r < last; ++r)
          ASSERT_EQ(batch[static_cast<size_t>(2 * (r - first))],
                    0.5f * static_cast<float>(2 * row_at({25, 9}, step * 10 + r)));
      }
    }
}

TEST_F(Data, LoaderReportsErrorsInOrder) {
  shard<float>("a.safetensors", "F32", {4, 1}, {0, 1, 2, 3});
  const auto set = ActivationSet::open(folder_, "");
  std::vector<float> memory(8);
  BatchLoader loader(set, {{4, 0}, 4, 0, 4, 0, 100, 1},
                     {std::span(memory).first(4), std::span(memory).last(4)});
  loader.next();
  fs::resize_file(folder_ / "a.safetensors", 20);
  expect_error(
      [&] {
        for (int i = 0; i < 5; ++i) loader.next();
      },
      "a.safetensors");
}

}  // namespace
}  // namespace saemill
