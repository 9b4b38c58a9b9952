// Our declarations of NCCL beside its own header, and its own library, where this machine has them.
#include <gtest/gtest.h>

#include "engine/comm/nccl/nccl_library.h"

#ifdef NCCL_HEADER
#include <nccl.h>
#endif

namespace saemill::nccl {
namespace {

#ifdef NCCL_HEADER
TEST(NcclAbi, IsThatOfTheHeader) {
  EXPECT_EQ(kSuccess, ncclSuccess);
  EXPECT_EQ(kUnhandledCudaError, ncclUnhandledCudaError);
  EXPECT_EQ(kSystemError, ncclSystemError);
  EXPECT_EQ(kInternalError, ncclInternalError);
  EXPECT_EQ(kInvalidArgument, ncclInvalidArgument);
  EXPECT_EQ(kInvalidUsage, ncclInvalidUsage);
  EXPECT_EQ(kRemoteError, ncclRemoteError);
  EXPECT_EQ(kInProgress, ncclInProgress);
  EXPECT_EQ(kUint8, ncclUint8);
  EXPECT_EQ(sizeof(UniqueId), sizeof(ncclUniqueId));
  EXPECT_EQ(kLeastVersion, NCCL_VERSION(2, 18, 0));
}

TEST(NcclAbi, ConfigBeginsLikeTheHeaders) {
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  const Config ours;
  EXPECT_EQ(ours.magic, theirs.magic);
  EXPECT_EQ(ours.blocking, theirs.blocking);
  EXPECT_EQ(ours.split_share, theirs.splitShare);
  EXPECT_LE(ours.size, theirs.size);
  EXPECT_EQ(offsetof(Config, magic), offsetof(ncclConfig_t, magic));
  EXPECT_EQ(offsetof(Config, version), offsetof(ncclConfig_t, version));
  EXPECT_EQ(offsetof(Config, blocking), offsetof(ncclConfig_t, blocking));
  EXPECT_EQ(offsetof(Config, cga_cluster_size), offsetof(ncclConfig_t, cgaClusterSize));
  EXPECT_EQ(offsetof(Config, min_ctas), offsetof(ncclConfig_t, minCTAs));
  EXPECT_EQ(offsetof(Config, max_ctas), offsetof(ncclConfig_t, maxCTAs));
  EXPECT_EQ(offsetof(Config, net_name), offsetof(ncclConfig_t, netName));
  EXPECT_EQ(offsetof(Config, split_share), offsetof(ncclConfig_t, splitShare));
}

// What `config` has from 2.26 on.
template <typename Theirs>
void expect_traffic_class(const Theirs& config) {
  if constexpr (requires { config.trafficClass; }) {
    EXPECT_EQ(Config().traffic_class, config.trafficClass);
    EXPECT_EQ(offsetof(Config, traffic_class), offsetof(Theirs, trafficClass));
    EXPECT_EQ(sizeof(Config::traffic_class), sizeof config.trafficClass);
  } else {
    GTEST_SKIP() << "nccl.h of this machine is older";
  }
}

TEST(NcclAbi, ConfigEndsWithTheTrafficClass) {
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  expect_traffic_class(theirs);
}
#endif

TEST(NcclAbi, VersionsReadAsPeopleWriteThem) {
  EXPECT_EQ(version_text(22809), "2.28.9");
  EXPECT_EQ(version_text(21803), "2.18.3");
  EXPECT_EQ(version_text(2804), "2.8.4");
}

// Making an id needs no GPU; joining does, and is refused without one.
TEST(NcclAbi, TheRealLibraryOpens) {
#ifndef NCCL_REAL_LIBRARY
  GTEST_SKIP() << "this machine has no libnccl.so.2";
#else
  const auto library = Library::open(NCCL_REAL_LIBRARY);
  EXPECT_GE(library->version(), kLeastVersion);
  UniqueId id{};
  ASSERT_EQ(library->get_unique_id(&id), kSuccess) << library->describe(kSystemError, nullptr);
  EXPECT_NE(library->describe(kRemoteError, nullptr).find("remote"), std::string::npos);
#endif
}

}  // namespace
}  // namespace saemill::nccl
