#include "control/store/sql_failure.h"

#include <soci/postgresql/soci-postgresql.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace saemill {
namespace {

// https://www.sqlite.org/rescode.html
constexpr int kPerm = 3, kBusy = 5, kLocked = 6, kReadOnly = 8, kIoError = 10, kCorrupt = 11, kFull = 13,
              kCannotOpen = 14, kNotADatabase = 26;

void classify_sqlite(int result, SqlFailure& failure) {
  const int primary = result & 0xff;
  failure.busy = primary == kBusy || primary == kLocked;
  failure.lost = primary == kIoError || primary == kCannotOpen || primary == kNotADatabase;
  constexpr std::array kWorld = {kPerm, kBusy, kLocked, kReadOnly, kIoError, kFull, kCannotOpen};
  if (std::find(kWorld.begin(), kWorld.end(), primary) != kWorld.end()) failure.code = ErrorCode::retry;
  if (primary == kCorrupt || primary == kNotADatabase) failure.code = ErrorCode::bad_data;
}

// https://www.postgresql.org/docs/15/errcodes-appendix.html
void classify_postgresql(std::string_view state, SqlFailure& failure) {
  failure.lost = state.starts_with("08") || state.starts_with("57P") || state == "25P03";
  failure.again = state == "40001" || state == "40P01";
  const bool world = state.starts_with("53") || state.starts_with("55") || state.starts_with("57") ||
                     state.starts_with("58");
  if (failure.lost || failure.again || world) failure.code = ErrorCode::retry;
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

SqlFailure classify(const soci::soci_error& error) {
  SqlFailure failure;
  failure.message = one_line(error.get_error_message());
  if (const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error)) {
    classify_sqlite(sqlite->result(), failure);
  } else if (const auto* postgresql = dynamic_cast<const soci::postgresql_soci_error*>(&error)) {
    classify_postgresql(postgresql->sqlstate(), failure);
  }
  return failure;
}

}  // namespace saemill
