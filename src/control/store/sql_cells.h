// Values of many columns on their way to and from a statement. Private to this folder.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "control/store/storable_text.h"

namespace saemill {

// Keeps what a statement is bound to; must outlive its execution.
class SqlCells {
 public:
  void use(soci::statement& statement, const std::string& value) { use_text(statement, &value); }
  void use(soci::statement& statement, const std::optional<std::string>& value) {
    use_text(statement, value ? &*value : nullptr);
  }
  void use(soci::statement& statement, int64_t value) { use_number(statement, value, true); }
  void use(soci::statement& statement, bool value) { use_number(statement, value ? 1 : 0, true); }
  void use(soci::statement& statement, const std::optional<int64_t>& value) {
    use_number(statement, value ? *value : 0, value.has_value());
  }

  // The next column of every row; `kind` only tells its type.
  void into(soci::statement& statement, const std::string& /*kind*/) { into_text(statement); }
  void into(soci::statement& statement, const std::optional<std::string>& /*kind*/) { into_text(statement); }
  void into(soci::statement& statement, int64_t /*kind*/) { into_number(statement); }
  void into(soci::statement& statement, bool /*kind*/) { into_number(statement); }
  void into(soci::statement& statement, const std::optional<int64_t>& /*kind*/) { into_number(statement); }

  // After a fetch: rewinds to the first column, whose values are then taken in order.
  void rewind() { next_ = 0; }
  void take(std::string& value) { value = cells_[next_++].text; }
  void take(int64_t& value) { value = cells_[next_++].number; }
  void take(bool& value) { value = cells_[next_++].number != 0; }
  void take(std::optional<std::string>& value) {
    const Cell& cell = cells_[next_++];
    value.reset();
    if (cell.indicator == soci::i_ok) value = cell.text;
  }
  void take(std::optional<int64_t>& value) {
    const Cell& cell = cells_[next_++];
    value.reset();
    if (cell.indicator == soci::i_ok) value = cell.number;
  }

 private:
  struct Cell {
    std::string text;
    int64_t number = 0;
    soci::indicator indicator = soci::i_null;
  };

  void use_text(soci::statement& statement, const std::string* value) {
    Cell& cell = cells_.emplace_back();
    if (value) cell.text = storable(*value);
    if (value) cell.indicator = soci::i_ok;
    statement.exchange(soci::use(cell.text, cell.indicator));
  }
  void use_number(soci::statement& statement, int64_t value, bool known) {
    Cell& cell = cells_.emplace_back();
    cell.number = value;
    if (known) cell.indicator = soci::i_ok;
    statement.exchange(soci::use(cell.number, cell.indicator));
  }
  void into_text(soci::statement& statement) {
    Cell& cell = cells_.emplace_back();
    statement.exchange(soci::into(cell.text, cell.indicator));
  }
  void into_number(soci::statement& statement) {
    Cell& cell = cells_.emplace_back();
    statement.exchange(soci::into(cell.number, cell.indicator));
  }

  std::deque<Cell> cells_;  // does not move what was bound
  size_t next_ = 0;
};

// Prepares and runs a statement whose values have been exchanged; true: there is a first row.
inline bool execute(soci::statement& statement, const std::string& sql) {
  statement.alloc();
  statement.prepare(sql, soci::details::st_one_time_query);
  statement.define_and_bind();
  return statement.execute(true);
}

}  // namespace saemill
