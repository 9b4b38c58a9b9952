#include "engine/train/checkpointer.h"

#include <algorithm>

#include "common/plan/tiles.h"

namespace saemill {
namespace {

size_t tensor_bytes(const CheckpointTensor& tensor, int64_t rows) {
  return static_cast<size_t>(rows * tensor.columns) * dtype_size(dtype_from_name(tensor.dtype));
}

// What a checkpoint of all ranks takes: its tensors, and a margin for headers, manifest and blocks that
// others write at the same time.
uint64_t bytes_needed(const TrainingState& state) {
  constexpr uint64_t kMargin = uint64_t{16} << 20;
  uint64_t bytes = 0;
  for (const CheckpointTensor& tensor : state.row_tensors())
    bytes += tensor_bytes(tensor, state.weights.W_enc.rows);
  for (const CheckpointTensor& tensor : state.shared_tensors()) bytes += tensor_bytes(tensor, 1);
  return bytes + std::max(bytes / 100, kMargin);
}

// More would not fit into a line of events.jsonl.
constexpr size_t kMostKept = 4096;

}  // namespace

Checkpointer::Checkpointer(FileSystem& files, fs::path run, const CheckpointConfig& config,
                           Communicator& comm, Reporter& reporter, Backend& backend, const View& room)
    : files_(files),
      run_(std::move(run)),
      config_(config),
      comm_(comm),
      reporter_(reporter),
      backend_(backend),
      room_(room) {}

Checkpointer::~Checkpointer() {
  if (thread_.joinable()) thread_.join();
}

Checkpointer::Copies Checkpointer::place(const TrainingState& state) const {
  Copies copies{state.row_tensors(), state.shared_tensors(), {}};
  std::byte* to = room_.data;
  const auto move = [&](std::vector<CheckpointTensor>& tensors, int64_t count) {
    for (CheckpointTensor& tensor : tensors) {
      const size_t bytes = tensor_bytes(tensor, count);
      ensure(to + bytes <= room_.data + room_.bytes(), "a checkpoint larger than its buffer");
      copies.moves.push_back({tensor.data, to, bytes});
      tensor.data = to;
      to += bytes;
    }
  };
  move(copies.rows, state.share.last_latent - state.share.first_latent);
  move(copies.shared, 1);
  return copies;
}

void Checkpointer::restore(int64_t step, TrainingState& state) {
  const auto manifest = read_manifest(run_ / "checkpoints" / checkpoint_name(step));
  state.from_json(manifest.state);
  const Copies copies = place(state);
  {
    const LongWork reading(comm_);
    read_checkpoint_rows(manifest, state.share.first_latent, state.share.last_latent, copies.rows);
    read_checkpoint_shared(manifest, copies.shared);
  }
  for (const auto& [to, from, bytes] : copies.moves) backend_.write(to, from, bytes);
}

// On rank 0.
void Checkpointer::begin(int64_t step) {
  const LongWork clearing(comm_);  // of what a crash has left there
  try {
    begin_checkpoint(files_, run_, step);
  } catch (const Error& error) {
    error_ = error.what();
  }
}

// Rank 0 looks, after what was left half written has gone; all learn what it saw, so that none begins alone.
bool Checkpointer::look_for_room(const TrainingState& state, bool asked) {
  std::array<double, 2> seen{};  // needed, available
  if (comm_.rank() == 0 && error_.empty())
    seen = {static_cast<double>(bytes_needed(state)), static_cast<double>(files_.available(run_))};
  comm_.all_reduce(std::span<double>(seen), Reduce::max);
  const auto [needed, available] = seen;
  no_room_.clear();
  if (available < needed)
    no_room_ = fmt::format("{}: a checkpoint needs {:.0f} bytes, and {:.0f} are available",
                           (run_ / "checkpoints").string(), needed, available);
  if (comm_.rank() != 0) return no_room_.empty();
  if (no_room_.empty()) {
    said_no_room_ = false;
    return true;
  }
  if (asked || !said_no_room_)
    warn("no_room_for_checkpoint",
         fmt::format("the checkpoint of step {} was not written: {}", state.step, no_room_));
  said_no_room_ = true;
  try {
    abandon_checkpoint(files_, run_, state.step);
  } catch (const Error&) {
    // An empty folder, which the next begin_checkpoint removes.
  }
  return false;
}

bool Checkpointer::start(const TrainingState& state, bool asked) {
  if (saving_) finish();
  error_.clear();
  // The folder exists before anyone writes into it.
  if (comm_.rank() == 0) begin(state.step);
  if (!look_for_room(state, asked)) return false;
  const int64_t first = state.share.first_latent, last = state.share.last_latent;
  Copies copies = place(state);
  for (const auto& [from, to, bytes] : copies.moves) backend_.read(to, from, bytes);
  std::vector<CheckpointTensor> rows = std::move(copies.rows), shared;
  if (comm_.rank() == 0) shared = std::move(copies.shared);
  saving_ = true;
  failed_ = false;
  written_ = false;
  step_ = state.step;
  d_sae_ = state.weights.W_enc.rows;
  state_json_ = state.to_json();
  comm_.barrier();  // all ranks copy the same step
  thread_ = std::thread(&Checkpointer::write, this, first, last, std::move(rows), std::move(shared));
  return true;
}

void Checkpointer::write(int64_t first, int64_t last, std::vector<CheckpointTensor> rows,
                         std::vector<CheckpointTensor> shared) {
  try {
    const fs::path folder = run_ / "checkpoints" / (checkpoint_name(step_) + ".tmp");
    if (error_.empty() && last > first) rows_file_ = write_checkpoint_rows(files_, folder, first, last, rows);
    if (error_.empty() && !shared.empty()) shared_file_ = write_checkpoint_shared(files_, folder, shared);
  } catch (const std::exception& error) {
    error_ = error.what();
  }
  written_ = true;
}

void Checkpointer::fill(Signals& signals) const {
  if (!saving_ || !written_) return;
  signals[kSavedStep] = static_cast<double>(step_);
  signals[kSavedBytes] = static_cast<double>(rows_file_.bytes);
  signals[kSavedCrc] = static_cast<double>(rows_file_.crc32c);
  signals[kSaveFailed] = error_.empty() ? 0 : 1;
}

void Checkpointer::settle(const std::vector<Signals>& signals) {
  if (!saving_) return;
  const auto saved = [&](const Signals& one) { return one[kSavedStep] == static_cast<double>(step_); };
  if (!std::all_of(signals.begin(), signals.end(), saved)) return;
  if (thread_.joinable()) thread_.join();
  saving_ = false;
  failed_ =
      std::any_of(signals.begin(), signals.end(), [](const Signals& one) { return one[kSaveFailed] > 0; });
  if (!error_.empty()) not_saved(error_);
  if (comm_.rank() == 0) publish(signals);
}

void Checkpointer::publish(const std::vector<Signals>& signals) {
  const LongWork writing(comm_);
  uint64_t bytes = 0;
  try {
    if (failed_) return abandon_checkpoint(files_, run_, step_);
    std::vector<CheckpointFile> parts;
    for (int r = 0; r < comm_.size(); ++r) {
      const Share share = share_of(1, d_sae_, r, comm_.size());
      if (share.first_latent == share.last_latent) continue;
      CheckpointFile part = rows_file_;
      part.name = fmt::format("rows-{:08}-{:08}.safetensors", share.first_latent, share.last_latent);
      part.first_row = share.first_latent;
      part.last_row = share.last_latent;
      part.bytes = static_cast<uint64_t>(signals[static_cast<size_t>(r)][kSavedBytes]);
      part.crc32c = static_cast<uint32_t>(signals[static_cast<size_t>(r)][kSavedCrc]);
      parts.push_back(part);
    }
    parts.push_back(shared_file_);
    bytes = publish_checkpoint(files_, run_, step_, parts, state_json_);
  } catch (const std::exception& error) {
    not_saved(error.what());
    try {
      // On a full disk its room is needed.
      if (!std::exchange(failed_, true)) abandon_checkpoint(files_, run_, step_);
    } catch (const Error&) {
      // The next begin_checkpoint removes it.
    }
    return;
  }
  keep_newest();
  tell(step_, bytes);
}

// The new one stands, whatever becomes of the old ones. What is told of the new one may still get lost with
// the launcher; the training is then taken up from the one before it, which at least two kept leave there.
void Checkpointer::keep_newest() {
  if (!reporter_.is_recorded()) return;  // the next one looks again
  try {
    remove_old_checkpoints(files_, run_, config_.keep_last, step_);
  } catch (const std::exception& error) {
    warn("checkpoint_not_removed", fmt::format("an old checkpoint could not be removed: {}", error.what()));
  }
}

// With all that are there: what was removed is known even where an earlier report was lost in a crash.
void Checkpointer::tell(int64_t step, uint64_t bytes) {
  nlohmann::ordered_json event{{"event", "checkpoint"},
                               {"step", step},
                               {"path", (run_ / "checkpoints" / checkpoint_name(step)).string()},
                               {"bytes", bytes}};
  try {
    const std::vector<int64_t> kept = checkpoint_steps(run_);
    const bool seen = std::find(kept.begin(), kept.end(), step) != kept.end();
    if (seen && kept.size() <= kMostKept) event["kept"] = kept;
  } catch (const fs::filesystem_error&) {
    // The next one tells it.
  }
  reporter_.report(std::move(event));
}

void Checkpointer::tell_restored(int64_t step) {
  const auto manifest = read_manifest(run_ / "checkpoints" / checkpoint_name(step));
  std::error_code error;
  uint64_t bytes = fs::file_size(manifest.folder / "manifest.json", error);
  for (const CheckpointFile& part : manifest.parts) bytes += part.bytes;
  tell(step, bytes);
}

void Checkpointer::warn(const char* code, const std::string& message) {
  reporter_.report({{"event", "warning"}, {"code", code}, {"message", message}});
}

void Checkpointer::not_saved(const std::string& reason) {
  warn("checkpoint_failed",
       fmt::format("the checkpoint of step {} was not saved; the one before it stays: {}", step_, reason));
}

void Checkpointer::wait_for_files() {
  const LongWork writing(comm_);
  if (thread_.joinable()) thread_.join();
}

bool Checkpointer::finish() {
  if (!saving_) return !failed_;
  wait_for_files();
  Signals mine{};
  fill(mine);
  std::vector<Signals> all(static_cast<size_t>(comm_.size()));
  all[static_cast<size_t>(comm_.rank())] = mine;
  std::vector<size_t> bounds;
  for (int r = 0; r <= comm_.size(); ++r) bounds.push_back(static_cast<size_t>(r) * sizeof(Signals));
  comm_.all_gather(reinterpret_cast<std::byte*>(all.data()), bounds);
  settle(all);
  std::array<double, 1> failed{failed_ ? 1.0 : 0.0};
  comm_.all_reduce(std::span<double>(failed), Reduce::max);
  failed_ = failed[0] > 0;
  return !failed_;
}

}  // namespace saemill
