#include "engine/backend/cuda/cuda_memory.h"

#include <cstring>

#include "common/base/error.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/latents.h"

namespace saemill {
namespace {

gpu::Memory take(int64_t bytes) {
  return bytes > 0 ? gpu::Memory(static_cast<size_t>(bytes)) : gpu::Memory();
}

void expect(int64_t planned, size_t needed, const char* what) {
  if (static_cast<size_t>(planned) < needed)
    fail(ErrorCode::internal, "the plan has {} bytes for {}; {} are needed", planned, what, needed);
}

}  // namespace

void Mailbox::send(void* to, const void* from, size_t bytes, const gpu::Stream& stream) {
  ensure(bytes <= kSlotBytes, "a value too large for the mailbox");
  const size_t slot = next_++ % kSlots;
  sent_[slot].synchronize();
  std::memcpy(memory_.data() + slot * kSlotBytes, from, bytes);
  gpu::copy(to, memory_.data() + slot * kSlotBytes, bytes, stream);
  sent_[slot].record(stream);
}

void Stage::reserve(size_t bytes) {
  for (Slot& slot : slots_)
    if (slot.memory.bytes() < bytes) slot.memory = gpu::Memory(bytes);
}

void Stage::release() {
  for (Slot& slot : slots_) slot.memory = {};
}

std::byte* Stage::copy(const void* from, size_t bytes, const gpu::Stream& compute) {
  reserve(bytes);
  Slot& slot = slots_[count_ % 2];
  // All work on the batch before is enqueued by now, that of the one before it may still run.
  slots_[(count_ + 1) % 2].free.record(compute);
  ++count_;
  slot.free.make_wait(stream_);
  gpu::copy(slot.memory.data(), from, bytes, stream_);
  slot.filled.record(stream_);
  slot.filled.make_wait(compute);
  slot.filled.synchronize();
  return slot.memory.data();
}

CudaScratch::CudaScratch(const WorkExtent& work)
    : extent(work),
      bytes(gpu_scratch(work)),
      chunk(gpu_chunk(work.d_sae, work.rows)),
      pre(take(bytes.pre)),
      dense(take(bytes.dense)),
      select(take(bytes.select)),
      aux_select(take(bytes.aux_select)),
      group(take(bytes.group)),
      pieces(take(bytes.pieces)),
      latents(take(bytes.latents)),
      gemm(take(bytes.gemm)),
      small(take(bytes.small)),
      adam(reinterpret_cast<gpu::AdamConstants*>(small.data())),
      dead_count(reinterpret_cast<int64_t*>(small.data() + 256)) {
  const int64_t codes = work.batch * work.slots, aux = work.batch * work.aux_slots;
  expect(bytes.select, gpu::select_state_bytes(work.rows, work.slots), "candidates");
  if (aux > 0) expect(bytes.aux_select, gpu::select_state_bytes(work.rows, work.aux_slots), "candidates");
  expect(bytes.group, gpu::group_scratch_bytes(std::max(codes, aux)), "grouping");
  expect(bytes.latents,
         gpu::latent_scratch_bytes(work.latents, work.d_in, gpu::max_pieces(codes),
                                   aux > 0 ? gpu::max_pieces(aux) : 0),
         "sums of latents");
  expect(bytes.gemm, gpu::kGemmWorkspaceBytes, "GEMMs");
}

gpu::LatentGroups CudaScratch::groups(bool aux, int64_t slots_in_batch) {
  const int64_t most =
      gpu::max_pieces(std::max(extent.batch * extent.slots, extent.batch * extent.aux_slots));
  auto* begin = pieces.as<int32_t>() + (aux ? extent.latents + 2 * most : 0);
  ensure(gpu::max_pieces(slots_in_batch) <= most, "more code slots than were reserved");
  gpu::LatentGroups groups;
  groups.first_piece = begin;
  groups.piece_latent = begin + extent.latents;
  groups.piece_begin = begin + extent.latents + most;
  return groups;
}

}  // namespace saemill
