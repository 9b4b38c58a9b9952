// Which part of a file a request gets.
#include "control/api/file_answer.h"

#include <gtest/gtest.h>

#include "common/base/temporary_folder.h"
#include "control/api/problem.h"
#include "control/api/run_folder_fixture.h"
#include "control/api/served_folder.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

TEST(Range, IsReadOrCountsAsAbsent) {
  using enum RangeRequest::Kind;
  constexpr int64_t kSize = 100;
  struct Case {
    const char* header;
    RangeRequest::Kind kind;
    int64_t offset = 0, length = 0;
  };
  for (const Case& one : std::vector<Case>{{"bytes=0-0", part, 0, 1},
                                           {"bytes=0-99", part, 0, 100},
                                           {"bytes=10-19", part, 10, 10},
                                           {"bytes=10-", part, 10, 90},
                                           {"bytes=99-", part, 99, 1},
                                           {"bytes=90-1000", part, 90, 10},
                                           {"bytes=90-99999999999999999999", part, 90, 10},
                                           {"bytes=-1", part, 99, 1},
                                           {"bytes=-100", part, 0, 100},
                                           {"bytes=-5000", part, 0, 100},
                                           {"bytes=-99999999999999999999", part, 0, 100},
                                           {"Bytes= 1-2 ", part, 1, 2},
                                           {"bytes=100-", unsatisfiable},
                                           {"bytes=100-200", unsatisfiable},
                                           {"bytes=99999999999999999999-", unsatisfiable},
                                           {"bytes=-0", unsatisfiable},
                                           {"", whole},
                                           {"bytes", whole},
                                           {"bytes=", whole},
                                           {"bytes=-", whole},
                                           {"bytes=5", whole},
                                           {"bytes=9-1", whole},
                                           {"bytes=0-1,4-5", whole},
                                           {"bytes=0-1, 4-5", whole},
                                           {"bytes=,0-1", whole},
                                           {"bytes=--1", whole},
                                           {"bytes=1--1", whole},
                                           {"bytes=+1-2", whole},
                                           {"bytes=1 - 2", whole},
                                           {"bytes=0x1-2", whole},
                                           {"bytes=a-b", whole},
                                           {"bytes 0-1", whole},
                                           {"bytes =0-1", whole},
                                           {"byte=0-1", whole},
                                           {"items=0-1", whole}}) {
    const RangeRequest found = parse_range(one.header, kSize);
    EXPECT_EQ(found.kind, one.kind) << one.header;
    EXPECT_EQ(found.offset, one.offset) << one.header;
    EXPECT_EQ(found.length, one.length) << one.header;
  }
  for (const char* header : {"bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"})
    EXPECT_EQ(parse_range(header, 0).kind, whole) << header;
  EXPECT_EQ(parse_range("bytes=0-9223372036854775807", INT64_MAX).length, INT64_MAX);
}

class FileAnswer : public ::testing::Test {
 protected:
  void SetUp() override { write_file(folder_ / "a.safetensors", "0123456789"); }
  std::shared_ptr<const OpenFile> open(const std::string& name) const {
    return ServedFolder::open(folder_, {})->open_file(name);
  }
  HttpResponse ask(const HttpRequest& request) const {
    return in_part(file_response(open("a.safetensors")), request);
  }
  static HttpRequest request(const std::string& range, const std::string& if_range = "",
                             const std::string& if_none_match = "") {
    HttpRequest request;
    request.range = range, request.if_range = if_range, request.if_none_match = if_none_match;
    return request;
  }
  static std::string header(const HttpResponse& response, const std::string& name) {
    for (const auto& [key, value] : response.headers)
      if (key == name) return value;
    return "";
  }
  static std::string content(const HttpResponse& response) {
    std::string text(static_cast<size_t>(response.file->length), '\0');
    text.resize(response.file->file->read(response.file->offset, text));
    return text;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
};

TEST_F(FileAnswer, WholePartOrUnchanged) {
  const HttpResponse whole = ask(request(""));
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(content(whole), "0123456789");
  EXPECT_EQ(header(whole, "Accept-Ranges"), "bytes");
  EXPECT_EQ(header(whole, "Content-Range"), "");
  EXPECT_EQ(header(whole, "Content-Disposition"), "attachment; filename=\"a.safetensors\"");
  EXPECT_EQ(whole.content_type, "application/octet-stream");
  const std::string etag = header(whole, "ETag");
  EXPECT_TRUE(etag.starts_with('"') && etag.ends_with('"')) << etag;

  const HttpResponse part = ask(request("bytes=3-5"));
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(content(part), "345");
  EXPECT_EQ(header(part, "Content-Range"), "bytes 3-5/10");
  EXPECT_EQ(header(part, "ETag"), etag);
  EXPECT_EQ(content(ask(request("bytes=-2"))), "89");

  for (const std::string& tags : {etag, std::string("*"), "\"x\", W/" + etag}) {
    const HttpResponse unchanged = ask(request("bytes=50-", "", tags));  // asked before the range
    EXPECT_EQ(unchanged.status, 304);
    EXPECT_FALSE(unchanged.file);
    EXPECT_EQ(header(unchanged, "ETag"), etag);
  }
  EXPECT_EQ(ask(request("", "", "\"x\"")).status, 200);
}

TEST_F(FileAnswer, UnsatisfiableTellsTheSize) {
  try {
    ask(request("bytes=10-"));
    FAIL();
  } catch (const Problem& problem) {
    const HttpResponse response = problem_response(problem);
    EXPECT_EQ(response.status, 416);
    EXPECT_EQ(problem.code(), "range_not_satisfiable");
    EXPECT_EQ(header(response, "Content-Range"), "bytes */10");
    EXPECT_FALSE(response.file);
  }
}

TEST_F(FileAnswer, IfRangeGuardsThePart) {
  const std::string etag = header(ask(request("")), "ETag");
  EXPECT_EQ(ask(request("bytes=3-5", etag)).status, 206);
  for (const std::string& other :
       {std::string("\"x\""), "W/" + etag, std::string("*"), std::string("Sat, 29 Oct 2044 19:43:31 GMT")}) {
    EXPECT_EQ(ask(request("bytes=3-5", other)).status, 200) << other;
    EXPECT_EQ(ask(request("bytes=50-", other)).status, 200) << other;
  }
  // Another file of the same name and size.
  write_file(folder_ / "b", "9876543210");
  fs::rename(folder_ / "b", folder_ / "a.safetensors");
  const HttpResponse changed = ask(request("bytes=3-5", etag));
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(content(changed), "9876543210");
  EXPECT_EQ(ask(request("", "", etag)).status, 200);
}

TEST_F(FileAnswer, HeadIsAlwaysOfTheWhole) {
  HttpRequest head = request("bytes=3-5");
  head.head_only = true;
  EXPECT_EQ(ask(head).status, 200);
  EXPECT_EQ(ask(head).file->length, 10);
  head.range = "bytes=50-";
  EXPECT_EQ(ask(head).status, 200);
}

TEST_F(FileAnswer, EmptyFilesAreAlwaysWhole) {
  write_file(folder_ / "empty.json", "");
  for (const char* range : {"", "bytes=0-", "bytes=-1", "bytes=5-"}) {
    const HttpResponse response = in_part(file_response(open("empty.json")), request(range));
    EXPECT_EQ(response.status, 200) << range;
    EXPECT_EQ(response.file->length, 0);
    EXPECT_EQ(response.content_type, "application/json");
  }
}

TEST_F(FileAnswer, NamesAreSafeInAHeader) {
  for (const auto& [name, safe] :
       std::vector<std::pair<std::string, std::string>>{{"a\"b.log", "a_b.log"},
                                                        {"a\r\nSet-Cookie: x", "a__Set-Cookie__x"},
                                                        {"a;b\\c", "a_b_c"},
                                                        {"\u00e4.txt", "__.txt"},
                                                        {"$(x)", "__x_"}}) {
    write_file(folder_ / name, "x");
    const HttpResponse response = file_response(open(name));
    EXPECT_EQ(header(response, "Content-Disposition"), "attachment; filename=\"" + safe + "\"");
  }
  EXPECT_EQ(file_response(open("a\"b.log")).content_type, "text/plain; charset=utf-8");
}

}  // namespace
}  // namespace saemill::api
