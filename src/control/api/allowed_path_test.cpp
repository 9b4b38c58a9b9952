#include "control/api/allowed_path.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "common/base/temporary_folder.h"
#include "control/api/problem.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

class AllowedPath : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"act/layer3", "act2", "more", "elsewhere"})
      fs::create_directories(root_ / folder);
    for (const char* file : {"act/a.npy", "act/layer3/b.npy", "act2/a.npy", "more/c.npy", "elsewhere/secret"})
      std::ofstream(root_ / file) << "x";
  }
  fs::path allowed(const std::string& path) const {
    return allowed_path(path, {root_ / "act", root_ / "more"}, "/path");
  }
  int status(const std::string& path) const {
    try {
      allowed(path);
    } catch (const Problem& problem) {
      EXPECT_EQ(problem.errors().at(0).pointer, "/path");
      return problem.status();
    }
    return 200;
  }
  std::string at(const std::string& path) const { return (root_ / path).string(); }

  TemporaryFolder temporary_;
  fs::path root_ = temporary_.path;
};

TEST_F(AllowedPath, WhatIsBelowAFolderIsFound) {
  EXPECT_EQ(allowed(at("act/a.npy")), root_ / "act/a.npy");
  EXPECT_EQ(allowed(at("act")), root_ / "act");
  EXPECT_EQ(allowed(at("act/layer3/")), root_ / "act/layer3");
  EXPECT_EQ(allowed(at("more/./c.npy")), root_ / "more/c.npy");
}

TEST_F(AllowedPath, RelativeOnesAreLookedForInEachFolder) {
  EXPECT_EQ(allowed("layer3/b.npy"), root_ / "act/layer3/b.npy");
  EXPECT_EQ(allowed("c.npy"), root_ / "more/c.npy");
  EXPECT_EQ(allowed("."), root_ / "act");
  EXPECT_EQ(status("none.npy"), 404);
}

TEST_F(AllowedPath, AFolderNamedLikeThePrefixIsAnother) {
  EXPECT_EQ(status(at("act2/a.npy")), 403);
  EXPECT_EQ(status(at("act2")), 403);
  EXPECT_EQ(status("../act2/a.npy"), 403);
}

TEST_F(AllowedPath, ElsewhereIsRefusedWhetherItExistsOrNot) {
  for (const char* path : {"elsewhere/secret", "elsewhere/none", "none/none", "", "elsewhere/secret/x"})
    EXPECT_EQ(status(at(path)), 403) << path;
  EXPECT_EQ(status("/"), 403);
  try {
    allowed(at("elsewhere/secret"));
  } catch (const Problem& problem) {
    EXPECT_EQ(problem.code(), "path_not_allowed");
    EXPECT_NE(std::string(problem.what()).find(at("elsewhere/secret")), std::string::npos);
    EXPECT_NE(std::string(problem.what()).find(at("act") + ", " + at("more")), std::string::npos);
  }
  EXPECT_THROW(allowed_path(at("act/a.npy"), {}, "/path"), Problem);
}

TEST_F(AllowedPath, DotsDoNotLeadOut) {
  EXPECT_EQ(allowed(at("act/layer3/../a.npy")), root_ / "act/a.npy");
  EXPECT_EQ(status("../elsewhere/secret"), 403);
  EXPECT_EQ(status("layer3/../../elsewhere/secret"), 403);
  EXPECT_EQ(status("../../../../../../../../etc/passwd"), 403);
  // Whether the folder elsewhere exists makes no difference.
  EXPECT_EQ(status(at("elsewhere/../act/a.npy")), 403);
  EXPECT_EQ(status(at("nowhere/../act/a.npy")), 403);
  EXPECT_EQ(status("none/../a.npy"), 404);
}

TEST_F(AllowedPath, LinksAreFollowed) {
  fs::create_symlink(root_ / "elsewhere", root_ / "act/out");
  fs::create_symlink(root_ / "elsewhere/secret", root_ / "act/out.npy");
  fs::create_symlink(root_ / "elsewhere/none", root_ / "act/broken.npy");
  fs::create_symlink("loop", root_ / "act/loop");
  fs::create_symlink(root_ / "more", root_ / "act/in");
  fs::create_symlink(root_ / "act", root_ / "alias");
  EXPECT_EQ(status("out/secret"), 403);
  EXPECT_EQ(status("out/none"), 403);
  EXPECT_EQ(status("out.npy"), 403);
  EXPECT_EQ(status("broken.npy"), 403);
  EXPECT_EQ(status("loop"), 403);
  EXPECT_EQ(status("out/../a.npy"), 403);  // as the system resolves it: the folder around elsewhere
  EXPECT_EQ(allowed("in/c.npy"), root_ / "more/c.npy");
  EXPECT_EQ(allowed(at("alias/a.npy")), root_ / "act/a.npy");
}

TEST_F(AllowedPath, WhatHasVanishedIsMissing) {
  EXPECT_EQ(status(at("act/a.npy")), 200);
  fs::remove(root_ / "act/a.npy");
  EXPECT_EQ(status(at("act/a.npy")), 404);
  EXPECT_EQ(status(at("act/layer9/a.npy")), 404);
  EXPECT_EQ(status("layer3/b.npy/x"), 404);
}

TEST_F(AllowedPath, WhatIsNoPathIsRefused) {
  EXPECT_EQ(status(""), 422);
  EXPECT_EQ(status(std::string("a.npy\0/../../elsewhere/secret", 29)), 422);
  EXPECT_EQ(status(std::string(5000, 'a')), 422);
  EXPECT_EQ(status(std::string(3000, 'a')), 404);
}

}  // namespace
}  // namespace saemill::api
