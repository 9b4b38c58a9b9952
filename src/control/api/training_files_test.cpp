// What of a run folder is served, and what is not; the end of a log.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control/api/dispatch.h"
#include "control/api/log_tail.h"
#include "control/api/run_folder_fixture.h"
#include "control/api/served_folder.h"
#include "control/api/services_fixture.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

class TrainingFiles : public ServicesTest {
 protected:
  void SetUp() override {
    ServicesTest::SetUp();
    run_ = folder_ / "trainings" / "t";
    write_run(run_);
    add_training(*database_, "t");
    add_training(*database_, "new", TrainingStatus::queued);
  }
  HttpResponse get(const std::string& path) {
    HttpRequest request;
    request.method = "GET", request.target = "/api/v1/trainings/" + path;
    return dispatch(services_, request);
  }
  int status(const std::string& path) { return get(path).status; }
  Json json(const std::string& path) { return Json::parse(get(path).body); }
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> found;
    const Json list = json(path);
    for (const Json& one : list.at("data")) found.push_back(one.at("name"));
    return found;
  }
  std::string content(const std::string& path) {
    const HttpResponse response = get(path);
    if (!response.file) return fmt::format("{} {}", response.status, response.body);
    std::string text(static_cast<size_t>(response.file->length), '\0');
    text.resize(response.file->file->read(0, text));
    return text;
  }
  std::string log(const std::string& query = "") {
    const HttpResponse response = get("t/logs" + query);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
    return response.body;
  }

  fs::path run_;
};

TEST_F(TrainingFiles, AreListedAndServed) {
  EXPECT_EQ(json("t/checkpoints"), Json::parse(R"({"data": [{"name": "step-00000010", "step": 10, "bytes": 12,
                                      "time": "2027-01-15T08:00:00.001Z"}]})"));
  EXPECT_EQ(json("t/checkpoints/step-00000010"),
            Json::parse(R"({"data": [{"name": "manifest.json", "bytes": 2},
                                     {"name": "rows.safetensors", "bytes": 10}]})"));
  EXPECT_EQ(names("t/sae"), (std::vector<std::string>{"cfg.json", "rows.safetensors"}));
  EXPECT_EQ(content("t/checkpoints/step-00000010/rows.safetensors"), "0123456789");
  EXPECT_EQ(content("t/sae/cfg.json"), R"({"d_in": 64})");
  EXPECT_EQ(get("t/sae/cfg.json").content_type, "application/json");
}

TEST_F(TrainingFiles, WhatIsNotThereIsSaidSo) {
  for (const char* rest : {"checkpoints", "checkpoints/step-00000010",
                           "checkpoints/step-00000010/manifest.json", "sae", "sae/cfg.json", "logs"}) {
    const HttpResponse response = get(std::string("nobody/") + rest);
    EXPECT_EQ(response.status, 404) << rest;
    EXPECT_NE(response.body.find("no training nobody"), std::string::npos) << response.body;
  }
  EXPECT_EQ(status("new/checkpoints"), 200);
  EXPECT_EQ(status("new/checkpoints/step-00000010"), 404);
  for (const char* path : {"new/sae", "new/sae/cfg.json"}) {
    const Json problem = json(path);
    EXPECT_EQ(problem["code"], "bad_state");
    EXPECT_EQ(problem["detail"], "training new is queued and has no finished SAE yet");
  }
  EXPECT_EQ(status("t/checkpoints/step-00000020"), 404);
  EXPECT_EQ(status("t/checkpoints/step-00000010/none"), 404);
  EXPECT_EQ(status("t/sae/none"), 404);
  EXPECT_NE(json("new/logs")["detail"].get<std::string>().find("logs of: none"), std::string::npos);
  const std::string detail = json("t/logs?rank=7")["detail"];
  EXPECT_EQ(detail, "training t has no log of rank 7; there are logs of: 0, launcher");
}

TEST_F(TrainingFiles, OnlyNamesOfRegularFilesAreThere) {
  const fs::path sae = run_ / "sae";
  write_file(folder_ / "secret", "secret");
  write_file(sae / ".hidden", "x");
  write_file(sae / "half.tmp", "x");
  write_file(sae / "inner" / "deep", "x");
  fs::create_symlink(folder_ / "secret", sae / "link");
  fs::create_symlink("cfg.json", sae / "inside");
  fs::create_symlink(folder_, sae / "folder");
  ASSERT_EQ(::mkfifo((sae / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(names("t/sae"), (std::vector<std::string>{"cfg.json", "rows.safetensors"}));
  for (const char* name : {".hidden", "half.tmp", "inner", "link", "inside", "folder", "pipe", "CFG.JSON",
                           "cfg.json%20", "inner%2fdeep", "..%2fsae%2fcfg.json", "%2e%2e", "cfg.json%00",
                           "cfg.json%00.tmp", "..\\cfg.json", "*", "%ff"})
    EXPECT_TRUE(status(std::string("t/sae/") + name) == 404 || status(std::string("t/sae/") + name) == 400)
        << name;
  for (const char* path :
       {"t/sae/..", "t/sae/../config.json", "t/sae/inner/deep", "t/sae/folder/secret", "t/checkpoints/..",
        "t/checkpoints/%2e%2e/cfg.json", "t/checkpoints/.", "t/checkpoints/..%2fsae/cfg.json",
        "t/checkpoints//manifest.json", "../t/sae", "..%2ft/sae", "t/sae/"})
    EXPECT_TRUE(status(path) == 404 || status(path) == 400) << path;
  EXPECT_EQ(status(std::string("t/sae/") + std::string(4000, 'a')), 404);
}

TEST_F(TrainingFiles, FoldersThatAreLinksAreNotFollowed) {
  write_file(folder_ / "outside" / "f", "secret");
  fs::create_directory_symlink(folder_ / "outside", run_ / "checkpoints" / "step-00000030");
  write_file(run_ / "checkpoints" / "step-00000040.tmp" / "f", "x");
  write_file(run_ / "checkpoints" / ".step-00000050" / "f", "x");
  for (const char* name : {"step-00000030", "step-00000040.tmp", ".step-00000050"}) {
    EXPECT_EQ(status(std::string("t/checkpoints/") + name), 404) << name;
    EXPECT_EQ(status(std::string("t/checkpoints/") + name + "/f"), 404) << name;
  }
  for (const char* part : {"sae", "logs"}) {
    fs::remove_all(run_ / part);
    fs::create_directory_symlink(folder_ / "outside", run_ / part);
  }
  write_file(folder_ / "outside" / "rank-0.log", "secret");
  EXPECT_EQ(status("t/sae"), 409);
  EXPECT_EQ(status("t/sae/f"), 409);
  EXPECT_EQ(status("t/logs"), 404);
  fs::remove(run_ / "launcher.log");
  fs::create_symlink(folder_ / "outside" / "f", run_ / "launcher.log");
  EXPECT_EQ(status("t/logs?rank=launcher"), 404);
}

TEST_F(TrainingFiles, AnOpenFileIsTheOneThatWasChecked) {
  const auto file = ServedFolder::open(run_, {"sae"})->open_file("cfg.json");
  fs::remove(run_ / "sae" / "cfg.json");
  fs::create_symlink("/etc/passwd", run_ / "sae" / "cfg.json");
  std::string text(100, '\0');
  text.resize(file->read(0, text));
  EXPECT_EQ(text, R"({"d_in": 64})");
}

TEST_F(TrainingFiles, LogsEndWithTheLinesAskedFor) {
  EXPECT_EQ(log(), "one\ntwo\n");
  EXPECT_EQ(log("?tail=1"), "two\n");
  EXPECT_EQ(log("?tail=2"), "one\ntwo\n");
  EXPECT_EQ(log("?rank=0&tail=10000"), "one\ntwo\n");
  EXPECT_EQ(log("?rank=launcher"), "started\n");
  const fs::path path = run_ / "logs" / "rank-1.log";
  const auto last = [&](const std::string& text, int lines) {
    write_file(path, text);
    return log(fmt::format("?rank=1&tail={}", lines));
  };
  EXPECT_EQ(last("a\nb", 1), "b");
  EXPECT_EQ(last("a\nb", 2), "a\nb");
  EXPECT_EQ(last("", 5), "");
  EXPECT_EQ(last("\n", 5), "\n");
  EXPECT_EQ(last("\n\n\n", 2), "\n\n");
  EXPECT_EQ(last("a\n\n", 1), "\n");
  EXPECT_EQ(last("\na", 1), "a");
  EXPECT_EQ(last("a\xff\xfe"
                 "b\n",
                 1),
            "a\uFFFD\uFFFDb\n");
  EXPECT_EQ(last(std::string("a\0b\n", 4), 1), std::string("a\0b\n", 4));
  std::string many;
  for (int i = 0; i < 300; ++i) many += fmt::format("line {}\n", i);
  EXPECT_EQ(last(many, 300), many);
  write_file(path, many);
  EXPECT_EQ(log("?rank=1"), many.substr(many.find("line 100\n")));  // 200
  for (const char* query : {"?tail=0", "?tail=10001", "?tail=x", "?rank=-1", "?rank=", "?rank=00", "?rank=x",
                            "?rank=0.log", "?rank=..%2f0", "?rank=99999999999", "?rank=0&rank=1"})
    EXPECT_EQ(status(std::string("t/logs") + query), 400) << query;
}

TEST_F(TrainingFiles, CutLogsGoOnInTheOlderPart) {
  const fs::path logs = run_ / "logs";
  write_file(logs / "rank-0.log.1", "old one\nold two\nbro");
  write_file(logs / "rank-0.log", "ken\nnew\n");
  EXPECT_EQ(log("?tail=1"), "new\n");
  EXPECT_EQ(log("?tail=2"), "broken\nnew\n");
  EXPECT_EQ(log("?tail=3"), "old two\nbroken\nnew\n");
  EXPECT_EQ(log(), "old one\nold two\nbroken\nnew\n");
  write_file(logs / "rank-0.log", "");  // just cut
  EXPECT_EQ(log("?tail=2"), "old two\nbro");
  EXPECT_EQ(json("t/logs?rank=1")["detail"],
            "training t has no log of rank 1; there are logs of: 0, launcher");
}

TEST_F(TrainingFiles, LogsGoOnAtAnOffset) {
  const fs::path path = run_ / "logs" / "rank-0.log";
  const auto next = [&](const std::string& query) {
    const HttpResponse response = get("t/logs" + query);
    EXPECT_EQ(response.headers.front().first, "X-Next-Offset");
    return std::make_pair(response.body, response.headers.front().second);
  };
  using Part = std::pair<std::string, std::string>;
  EXPECT_EQ(next("?tail=1"), Part("two\n", "8"));
  EXPECT_EQ(next("?offset=8"), Part("", "8"));
  EXPECT_EQ(next("?offset=4"), Part("two\n", "8"));
  write_file(path, "one\ntwo\nthree \u20ac");
  EXPECT_EQ(next("?offset=8"), Part("three \u20ac", "17"));
  // A character is told when all of it is there; what is none is replaced.
  write_file(path, "one\ntwo\n\xff\xe2\x82");
  EXPECT_EQ(next("?tail=1").second, "9");
  EXPECT_EQ(next("?offset=8"), Part("\uFFFD", "9"));
  write_file(path, "one\ntwo\n\xff\u20ac");
  EXPECT_EQ(next("?offset=9"), Part("\u20ac", "12"));
  // Cut meanwhile.
  write_file(path, "new\n");
  EXPECT_EQ(next("?offset=12"), Part("new\n", "4"));
  write_file(path.string() + ".1", "old\n");
  fs::remove(path);
  EXPECT_EQ(next("?tail=1"), Part("old\n", "0"));
  EXPECT_EQ(next("?offset=12"), Part("", "0"));
  const std::string many(5 << 20, 'x');
  write_file(path, many);
  EXPECT_EQ(next("?offset=1"), Part(many.substr(1, 4 << 20), std::to_string((4 << 20) + 1)));
  for (const char* query : {"?offset=-1", "?offset=", "?offset=x", "?offset=9007199254740993"})
    EXPECT_EQ(status(std::string("t/logs") + query), 400) << query;
}

TEST_F(TrainingFiles, RanksWithLogsAreNamedInOrder) {
  for (const char* name :
       {"rank-10.log", "rank-2.log", "rank-3.log.1", "rank-x.log", "rank-4", "rank-007.log"})
    write_file(run_ / "logs" / name, "x");
  EXPECT_EQ(json("t/logs?rank=99")["detail"],
            "training t has no log of rank 99; there are logs of: 0, 2, 10, launcher");
  fs::remove(run_ / "launcher.log");
  EXPECT_EQ(json("t/logs?rank=launcher")["detail"],
            "training t has no log of the launcher; there are logs of: 0, 2, 10");
}

TEST_F(TrainingFiles, HugeLogsAreReadAtTheirEndOnly) {
  const fs::path logs = run_ / "logs";
  const size_t most = size_t{4} << 20;
  const std::string line = std::string(8 << 20, 'x') + "\nend\n";
  write_file(logs / "rank-0.log", line);
  EXPECT_EQ(log("?tail=1"), "end\n");
  EXPECT_EQ(log("?tail=2"), line.substr(line.size() - most));
  // The older part counts too.
  write_file(logs / "rank-0.log.1", std::string(8 << 20, 'y') + "\n");
  write_file(logs / "rank-0.log", "new\n");
  const std::string both = log();
  EXPECT_EQ(both.size(), most);
  EXPECT_TRUE(both.ends_with("y\nnew\n"));
  // Lines across the borders of blocks.
  std::string text;
  for (int i = 0; i < 20000; ++i) text += fmt::format("step {} loss {}\n", i, 1.0 / (i + 1));
  write_file(logs / "rank-0.log", text);
  for (const int tail : {1, 199, 3000, 10000})
    EXPECT_EQ(log(fmt::format("?tail={}", tail)),
              text.substr(text.find(fmt::format("step {} ", 20000 - tail))));
}

}  // namespace
}  // namespace saemill::api
