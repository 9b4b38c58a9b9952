// The statements over gpu_metrics_history, written by loops over its fields. Private to this folder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace saemill {

// uuid, time, job_id and samples of a 1 s bucket, then min, mean, max and count of each of kHistoryFields:
// as placeholders, in this order. A bucket that exists is merged with.
std::string add_statement();

// Merges the rows of `from_s` with begin <= time < end into rows of `to_s`; the former remain.
std::string thin_statement(int64_t from_s, int64_t to_s, int64_t begin, int64_t end);

// Selects start of bucket, job_id, samples, and of each field min, mean, max and count: one row per bucket
// and job, by bucket. `condition` selects the rows.
std::string query_statement(std::span<const std::string> fields, int64_t bucket_s,
                            std::string_view condition);

}  // namespace saemill
