#include "engine/comm/nccl/nccl_exchange.h"

#include <optional>

#include "common/base/error.h"
#include "engine/comm/nccl/nccl_communicator.h"
#include "engine/comm/nccl/nccl_library.h"
#include "engine/comm/streamed/streamed_exchange.h"

namespace saemill {
namespace {

// Loads the library. NCCL refuses other versions than its own, late and in words that name neither, so the
// ranks compare them first. Every rank takes part also where it has none, or the others would wait for it.
std::shared_ptr<const nccl::Library> agree_on_library(const NcclOptions& options) {
  Communicator& host = options.host;
  std::shared_ptr<const nccl::Library> library;
  std::optional<Error> error;
  try {
    nccl::set_variables(options.variables);
    library = nccl::Library::open(options.library);
  } catch (const Error& caught) {
    error = caught;
  }
  const auto size = static_cast<size_t>(host.size()), me = static_cast<size_t>(host.rank());
  std::vector<int> versions(size, 0);
  std::vector<size_t> bounds;
  for (size_t r = 0; r <= size; ++r) bounds.push_back(r * sizeof(int));
  versions[me] = library ? library->version() : 0;
  host.all_gather(reinterpret_cast<std::byte*>(versions.data()), bounds);
  if (error) throw *error;
  for (size_t r = 0; r < size; ++r)
    if (versions[r] == 0)
      fail(ErrorCode::bad_config, "rank {} has no usable NCCL; its own message says why", r);
  for (size_t r = 1; r < size; ++r)
    if (versions[r] != versions[0])
      fail(ErrorCode::bad_config,
           "rank 0 has NCCL {} and rank {} has NCCL {}: all ranks must load the same version",
           nccl::version_text(versions[0]), r, nccl::version_text(versions[r]));
  return library;
}

// Rank 0 makes it, and listens for the others until all have joined.
nccl::UniqueId share_id(Communicator& host, const nccl::Library& library) {
  struct Message {
    int result = nccl::kSuccess;
    nccl::UniqueId id{};
  } message;
  if (host.rank() == 0) message.result = library.get_unique_id(&message.id);
  host.broadcast(reinterpret_cast<std::byte*>(&message), sizeof message, 0);
  if (message.result != nccl::kSuccess)
    fail(ErrorCode::retry, "rank 0 cannot make NCCL's id: {}", library.describe(message.result, nullptr));
  return message.id;
}

class NcclExchange final : public StreamedExchange {
 public:
  NcclExchange(const NcclOptions& options, const std::shared_ptr<const nccl::Library>& library,
               const nccl::UniqueId& id)
      : StreamedExchange(options.host.rank(), options.host.size(), options.compute, options.piece_bytes,
                         options.deadline_seconds),
        comm_(library, id, options.host.rank(), options.host.size(), options.deadline_seconds) {}

  std::string name() const override { return "nccl " + nccl::version_text(comm_.library().version()); }

  // Every rank has memory of its own, and the compute stream goes on only when what it sent is gone: nobody
  // reads it after that.
  void fence() override { ensure_all_awaited(); }

 private:
  void move(const char* operation, const std::vector<Share>& shares) override {
    comm_.group(operation, [&](nccl::Comm comm) {
      int result = nccl::kSuccess;
      for (size_t i = 0; i < shares.size() && nccl::is_good(result); ++i)
        result = is_even(shares[i]) ? gather_even(shares[i], comm) : send_from_each(shares[i], comm);
      return result;
    });
  }

  // Then one call moves all shares at once, over all links.
  bool is_even(const Share& share) const {
    for (int r = 1; r < size(); ++r)
      if (share.bytes_of(r) != share.bytes_of(0)) return false;
    return true;
  }

  int gather_even(const Share& share, nccl::Comm comm) const {
    return comm_.library().all_gather(share.begin_of(rank()), share.begin_of(0), share.bytes_of(0),
                                      nccl::kUint8, comm, transfers().native());
  }

  int send_from_each(const Share& share, nccl::Comm comm) const {
    int result = nccl::kSuccess;
    for (int r = 0; r < size() && nccl::is_good(result); ++r)
      if (share.bytes_of(r) > 0)
        result = comm_.library().broadcast(share.begin_of(r), share.begin_of(r), share.bytes_of(r),
                                           nccl::kUint8, r, comm, transfers().native());
    return result;
  }

  void check_transport(const char* operation) override { comm_.check(operation); }
  void give_up(const std::string& reason) override { comm_.give_up(reason); }

  nccl::Communicator comm_;
};

}  // namespace

std::unique_ptr<Exchange> make_nccl_exchange(const NcclOptions& options) {
  const auto library = agree_on_library(options);
  return std::make_unique<NcclExchange>(options, library, share_id(options.host, *library));
}

}  // namespace saemill
