#include "engine/train/checkpointer.h"

#include <algorithm>

#include "common/plan/tiles.h"

namespace saemill {
namespace {

size_t tensor_bytes(const CheckpointTensor& tensor, int64_t rows) {
  return static_cast<size_t>(rows * tensor.columns) * dtype_size(dtype_from_name(tensor.dtype));
}

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
  read_checkpoint_rows(manifest, state.share.first_latent, state.share.last_latent, copies.rows);
  read_checkpoint_shared(manifest, copies.shared);
  for (const auto& [to, from, bytes] : copies.moves) backend_.write(to, from, bytes);
}

void Checkpointer::start(const TrainingState& state) {
  if (saving_) finish();
  const int64_t first = state.share.first_latent, last = state.share.last_latent;
  Copies copies = place(state);
  for (const auto& [from, to, bytes] : copies.moves) backend_.read(to, from, bytes);
  std::vector<CheckpointTensor> rows = std::move(copies.rows), shared;
  if (comm_.rank() == 0) shared = std::move(copies.shared);
  saving_ = true;
  failed_ = false;
  written_ = false;
  error_.clear();
  step_ = state.step;
  d_sae_ = state.weights.W_enc.rows;
  state_json_ = state.to_json();
  // All ranks copy the same step; the folder exists before anyone writes into it.
  if (comm_.rank() == 0) {
    try {
      begin_checkpoint(files_, run_, step_);
    } catch (const Error& error) {
      error_ = error.what();
    }
  }
  comm_.barrier();
  thread_ = std::thread(&Checkpointer::write, this, first, last, std::move(rows), std::move(shared));
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
  if (!error_.empty())
    reporter_.report(
        {{"event", "warning"},
         {"code", "checkpoint_failed"},
         {"message", fmt::format("the checkpoint of step {} was not saved; the one before it stays: {}",
                                 step_, error_)}});
  if (comm_.rank() == 0) publish(signals);
}

void Checkpointer::publish(const std::vector<Signals>& signals) {
  const fs::path folder = run_ / "checkpoints" / checkpoint_name(step_);
  try {
    if (failed_) return files_.remove_all(folder.string() + ".tmp");
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
    const uint64_t bytes = publish_checkpoint(files_, run_, step_, parts, state_json_);
    remove_old_checkpoints(files_, run_, config_.keep_last);
    reporter_.report({{"event", "checkpoint"}, {"step", step_}, {"path", folder.string()}, {"bytes", bytes}});
  } catch (const std::exception& error) {
    failed_ = true;
    reporter_.report(
        {{"event", "warning"},
         {"code", "checkpoint_failed"},
         {"message", fmt::format("the checkpoint of step {} was not saved; the one before it stays: {}",
                                 step_, error.what())}});
  }
}

bool Checkpointer::finish() {
  if (!saving_) return !failed_;
  if (thread_.joinable()) thread_.join();
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
