// One server process of the lease race: many clients, each a thread, that all want gangs of the same devices.
//   lease_racer URL FOLDER CLIENTS SEED
// Prints a dot for every gang that was granted. Whoever holds a device proves it without the database, by a
// link in FOLDER that only one can make. Exit code 1: two held a device at once, or a lease got lost.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "common/base/random.h"
#include "control/store/leases.h"

namespace fs = std::filesystem;
using namespace saemill;

namespace {

constexpr int kDevices = 8;
constexpr int kTurns = 3;
constexpr double kGiveUp = 280;  // s

void pause(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// The links: a symbolic link comes into being with its content, so that a kill leaves none without an owner.
class Proofs {
 public:
  explicit Proofs(fs::path folder) : folder_(std::move(folder)) {}

  void make(const std::string& device, const std::string& owner) const {
    const fs::path path = folder_ / device;
    if (::symlink(owner.c_str(), path.c_str()) == 0) return;
    fail(ErrorCode::internal, "{} is held twice: by {}, and by {} ({})", device,
         fs::read_symlink(path).string(), owner, std::strerror(errno));
  }

  void remove(const std::string& device, const std::string& owner) const {
    const fs::path path = folder_ / device;
    if (fs::read_symlink(path) != owner || !fs::remove(path)) {
      fail(ErrorCode::internal, "{} was taken from {}", device, owner);
    }
  }

  // `prefix` names a process that is dead. Under a lock: between another's removing a link and ours, somebody
  // may have made a new one.
  void remove_of_dead(const std::string& prefix) const {
    const int lock = ::open((folder_ / "lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (lock < 0 || ::flock(lock, LOCK_EX) != 0) fail(ErrorCode::internal, "lock: {}", std::strerror(errno));
    for (int device = 0; device < kDevices; ++device) {
      const fs::path path = folder_ / fmt::format("gpu-{}", device);
      std::error_code absent;
      if (fs::read_symlink(path, absent).string().starts_with(prefix)) fs::remove(path);
    }
    ::close(lock);
  }

 private:
  fs::path folder_;
};

class Racer {
 public:
  Racer(const std::string& url, const fs::path& folder, int clients, uint64_t seed)
      : database_(url, 8), leases_(database_), proofs_(folder), clients_(clients), seed_(seed) {
    self_.host = host_name();
    self_.boot_id = boot_id();
    self_.server_id = fmt::format("racer-{}", seed);
    self_.server_pid = ::getpid();
    self_.server_start_time = process_start_time(::getpid());
  }

  int run() {
    const double begin = monotonic_seconds();
    std::thread undertaker([this] { guarded([this] { bury_the_dead(); }); });
    std::vector<std::thread> clients;
    for (int client = 0; client < clients_; ++client) {
      clients.emplace_back([this, client] { guarded([&] { race(client); }); });
    }
    for (std::thread& client : clients) client.join();
    done_ = true;
    undertaker.join();
    fmt::print(
        stderr, "racer {}: {} gangs in {:.1f} s, {} tries, longest wait {:.1f} s, {} leases of the dead\n",
        ::getpid(), granted_.load(), monotonic_seconds() - begin, tries_.load(), longest_wait_, buried_);
    return failed_ ? 1 : 0;
  }

 private:
  template <typename Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "racer {}: {}\n", ::getpid(), error.what());
      failed_ = true;
    }
  }

  void race(int client) {
    for (int turn = 0; turn < kTurns && !failed_; ++turn) {
      const auto stream = static_cast<uint64_t>(client * kTurns + turn);
      const std::string job =
          fmt::format("{}-{}-{}-{}", self_.server_pid, self_.server_start_time, client, turn);
      const std::vector<std::string> gang = gang_of(stream);
      if (win(gang, job, stream)) hold(gang, job, stream);
    }
  }

  // 1 to 8 of the devices, by a shuffle.
  std::vector<std::string> gang_of(uint64_t stream) const {
    std::vector<std::string> devices;
    for (int device = 0; device < kDevices; ++device) devices.push_back(fmt::format("gpu-{}", device));
    for (size_t i = devices.size(); i-- > 1;) std::swap(devices[i], devices[random(stream, i) % (i + 1)]);
    devices.resize(1 + random(stream, 0) % kDevices);
    return devices;
  }

  // False: the race has failed elsewhere.
  bool win(const std::vector<std::string>& gang, const std::string& job, uint64_t stream) {
    LeaseHolder holder = self_;
    holder.job_id = job;
    const double begin = monotonic_seconds();
    for (uint64_t tries = 0; !leases_.take(gang, holder).empty(); ++tries) {
      ++tries_;
      if (failed_) return false;
      if (monotonic_seconds() - begin > kGiveUp) fail(ErrorCode::internal, "{} waits in vain", job);
      // Who has waited long asks more often: else the small gangs would leave nothing to the large ones.
      const double longest = 0.05 / (1 + monotonic_seconds() - begin);
      pause(longest * static_cast<double>(1 + random(stream, 100 + tries) % 1000) / 1000);
    }
    const std::lock_guard lock(mutex_);
    longest_wait_ = std::max(longest_wait_, monotonic_seconds() - begin);
    return true;
  }

  void hold(const std::vector<std::string>& gang, const std::string& job, uint64_t stream) {
    if (!leases_.bind(job, self_.server_pid, self_.server_start_time))
      fail(ErrorCode::internal, "{} lost its lease", job);
    const std::string owner = owner_prefix(self_.server_pid, self_.server_start_time) + job;
    for (const std::string& device : gang) proofs_.make(device, owner);
    ++granted_;
    if (::write(STDOUT_FILENO, ".", 1) != 1) fail(ErrorCode::internal, "nobody listens");
    pause(1e-3 * static_cast<double>(random(stream, 50) % 4));
    for (const std::string& device : gang) proofs_.remove(device, owner);
    if (leases_.release(job) != static_cast<int64_t>(gang.size())) {
      fail(ErrorCode::internal, "{} held {} devices, and released another number", job, gang.size());
    }
  }

  void bury_the_dead() {
    while (!done_ && !failed_) {
      const auto ended =
          leases_.release_dead(self_.host, self_.boot_id, [&](int64_t pid, int64_t start_time) {
            if (!has_ended(pid, start_time)) return true;
            // Before the lease ends: whoever takes it next must find no link.
            proofs_.remove_of_dead(owner_prefix(pid, start_time));
            return false;
          });
      buried_ += ended.size();
      pause(0.1);
    }
  }

  static std::string owner_prefix(int64_t pid, int64_t start_time) {
    return fmt::format("{}/{}/", pid, start_time);
  }
  uint64_t random(uint64_t stream, uint64_t counter) const { return random_bits(seed_, stream, counter); }

  Database database_;
  Leases leases_;
  Proofs proofs_;
  LeaseHolder self_;
  int clients_;
  uint64_t seed_;
  std::atomic<bool> done_ = false, failed_ = false;
  std::atomic<int64_t> granted_ = 0, tries_ = 0;
  size_t buried_ = 0;
  std::mutex mutex_;
  double longest_wait_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 64;
  try {
    return Racer(argv[1], argv[2], std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 10)).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "racer {}: {}\n", ::getpid(), error.what());
    return 1;
  }
}
