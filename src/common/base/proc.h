// What /proc tells about processes and this machine. Reading needs no rights; a process that ends in the
// middle is reported as gone. All functions are thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace saemill {

// /proc/PID/stat (man 5 proc).
struct ProcessStat {
  char state = '?';  // '\0': no such process; '?': it cannot be read
  int64_t parent = 0;
  int64_t session = 0;
  double cpu_seconds = 0;  // user and system, of all its threads
  int64_t start_time = 0;  // in clock ticks since boot: with the pid, a process's identity
};
ProcessStat process_stat(int64_t pid);

// Proof that the process which once had this pid and start time has ended: it is absent, a zombie, or the pid
// is another's. What cannot be read has not ended.
bool has_ended(const ProcessStat& now, int64_t start_time);
inline bool has_ended(int64_t pid, int64_t start_time) {
  return has_ended(process_stat(pid), start_time);
}

// Field 22 of /proc/PID/stat, or 0 if there is no such process.
int64_t process_start_time(int64_t pid);

// How long ago a process of this boot began, in seconds.
double process_age(int64_t start_time);

// The arguments joined by spaces; of a kernel thread or a process hidden from us, its short name or nothing.
std::optional<std::string> process_command(int64_t pid);
std::vector<std::string> process_arguments(int64_t pid);
// Whether it was started with this "NAME=VALUE"; false where that cannot be read.
bool has_in_environment(int64_t pid, const std::string& entry);
std::optional<std::string> process_user(int64_t pid);  // the name of its owner, else the number

// "RssAnon", "RssShmem", ... of /proc/PID/status in bytes; absent where the process or the line is.
std::optional<int64_t> process_memory(int64_t pid, const char* field);

// Whether `ancestor` is the process itself or one of its parents.
bool descends_from(int64_t pid, int64_t ancestor);

std::vector<int64_t> all_processes();                                 // ascending
std::vector<int64_t> processes_named(const std::string& short_name);  // /proc/PID/comm, at most 15 characters

std::vector<int> allowed_cores();  // of this process's affinity mask, ascending
std::string host_name();
std::string boot_id();  // another one after each boot
// Whether this process lives in another pid namespace than the machine's first, as in most containers: who
// runs outside is then not to be seen from here. False where /proc does not tell.
bool in_pid_namespace();

}  // namespace saemill
