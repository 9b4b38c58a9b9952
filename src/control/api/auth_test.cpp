// Tokens, codes and sessions, on a store.
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/temporary_folder.h"
#include "control/api/auth.h"
#include "control/api/secret.h"

namespace saemill::api {
namespace {

class AuthTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    store_ = std::make_unique<Sessions>(*database_);
  }
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Sessions> store_;
};

TEST_F(AuthTest, Token) {
  const Auth auth("secret-token", "server", *store_);
  EXPECT_TRUE(auth.token_matches("secret-token"));
  for (const char* wrong : {"", "secret-toke", "secret-token ", "Secret-token"})
    EXPECT_FALSE(auth.token_matches(wrong)) << wrong;
}

TEST_F(AuthTest, ACodeRedeemsOnce) {
  Auth auth("token", "server", *store_);
  const std::string code = auth.new_code(), other = auth.new_code();
  EXPECT_NE(code, other);
  EXPECT_FALSE(auth.redeem("guess"));
  const auto session = auth.redeem(code);
  ASSERT_TRUE(session);
  EXPECT_FALSE(auth.redeem(code));
  EXPECT_TRUE(auth.session_expiry(session->secret));
  EXPECT_FALSE(auth.session_expiry(code));
  EXPECT_TRUE(auth.redeem(other));
}

TEST_F(AuthTest, SessionsSurviveARestartAndEndWhenClosed) {
  std::string secret;
  {
    Auth auth("token", "server", *store_);
    secret = auth.open_session().secret;
  }
  Auth again("token", "server", *store_);
  EXPECT_TRUE(again.session_expiry(secret));
  EXPECT_FALSE(Auth("token", "another", *store_).session_expiry(secret));
  again.close_session(secret);
  EXPECT_FALSE(again.session_expiry(secret));
  EXPECT_FALSE(Auth("token", "server", *store_).session_expiry(secret));
}

TEST_F(AuthTest, TheStoreHoldsNoSecret) {
  Auth auth("token", "server", *store_);
  const std::string secret = auth.open_session().secret;
  const auto rows = store_->live("server", 0);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].digest, sha256_hex(secret));
}

TEST_F(AuthTest, ACodeIsNotSpentOnAStoreThatIsAway) {
  Auth auth("token", "server", *store_);
  const std::string code = auth.new_code();
  std::filesystem::remove_all(folder_);  // the file is gone: the insert fails
  try {
    auth.redeem(code);
  } catch (const std::exception&) {
    EXPECT_THROW(auth.redeem(code), std::exception);
  }
}

TEST(Secret, IsLongAndNeverTheSame) {
  const std::string a = random_secret(), b = random_secret();
  EXPECT_EQ(a.size(), 43u);  // 256 bits in base64url
  EXPECT_NE(a, b);
  EXPECT_EQ(a.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            std::string::npos);
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace saemill::api
