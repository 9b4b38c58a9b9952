// The backward half: codes by latent, and the pass over latent rows.
#include "common/plan/tiles.h"
#include "engine/backend/cuda/cuda_backend_impl.h"

namespace saemill {
namespace {

gpu::RowPass pass_of(LatentPass pass) {
  switch (pass) {
    case LatentPass::accumulate:
      return gpu::RowPass::accumulate;
    case LatentPass::norm:
      return gpu::RowPass::norm;
    default:
      return gpu::RowPass::apply;
  }
}

gpu::LatentParameters parameters_of(const SaeViews& sae) {
  return {sae.W_enc.as<float>(), sae.W_dec.as<float>(), sae.b_enc.as<float>()};
}

}  // namespace

template <typename Low>
bool CudaBackendImpl<Low>::piece_set(const View& offsets) {
  if (grouped_[0] == nullptr || grouped_[0] == offsets.data) {
    grouped_[0] = offsets.data;
    return false;
  }
  grouped_[1] = offsets.data;
  return true;
}

template <typename Low>
void CudaBackendImpl<Low>::do_group_by_latent(const Codes& codes, int64_t first, int64_t last,
                                              const LatentIndex& out) {
  CudaScratch& own = scratch(codes.index.rows);
  gpu::LatentGroups groups = own.groups(piece_set(out.offsets), codes.index.rows * codes.index.cols);
  groups.offsets = out.offsets.as<int64_t>();
  groups.positions = out.positions.as<int32_t>();
  gpu::group_by_latent(
      {codes.index.as<int32_t>(), codes.value.as<float>(), codes.index.rows, codes.index.cols, first, last},
      groups, own.group.data(), own.group.bytes(), beside(grouping_));
}

template <typename Low>
gpu::LatentCodes CudaBackendImpl<Low>::grouped(const Codes& codes, const LatentIndex& index) {
  const int64_t slots = codes.index.rows * codes.index.cols;
  gpu::LatentCodes latent{codes.value.as<float>(), codes.grad.as<float>(),
                          static_cast<int32_t>(codes.index.cols)};
  latent.groups = scratch(codes.index.rows).groups(piece_set(index.offsets), slots);
  latent.groups.offsets = index.offsets.as<int64_t>();
  latent.groups.positions = index.positions.as<int32_t>();
  latent.pieces = gpu::max_pieces(slots);
  return latent;
}

template <typename Low>
gpu::LatentArguments<Low> CudaBackendImpl<Low>::latent_arguments(const LatentTask& task) {
  gpu::LatentArguments<Low> arguments;
  arguments.pass = pass_of(task.pass);
  arguments.first = task.first;
  arguments.last = task.last;
  arguments.n = n_;
  arguments.weights = parameters_of(task.sae);
  arguments.m = parameters_of(task.m);
  arguments.v = parameters_of(task.v);
  arguments.low_encoder = low_of(task.packed.encoder);
  arguments.low_decoder = low_of(task.packed.decoder);
  arguments.unit_norm = task.unit_norm;
  arguments.step = task.scalars;
  arguments.block_sums = task.block_sums.as<float>();
  arguments.block_norms = task.block_norms.as<double>();
  if (task.grad_W_enc)
    arguments.stored = {task.grad_W_enc.as<float>(), task.grad_W_dec.as<float>(),
                        task.grad_b_enc.as<float>()};
  if (task.pass == LatentPass::apply) {
    arguments.adam = scratch(0).adam;
    gpu::prepare_adam(task.scalars, task.clip_factor, scratch(0).adam, compute_);
  }
  return arguments;
}

template <typename Low>
void CudaBackendImpl<Low>::do_update_latents(const LatentTask& task) {
  grouping_.join(compute_);
  if (task.last == task.first) return;
  gpu::LatentArguments<Low> arguments = latent_arguments(task);
  if (task.add_batch) {
    arguments.codes = grouped(task.codes, task.by_latent);
    arguments.centered = task.centered.as<Low>();
    arguments.residual = task.residual.as<Low>();
    if (task.last_fired) arguments.last_fired = task.last_fired.as<int64_t>();
    if (task.aux.index) {
      arguments.aux = grouped(task.aux, task.aux_by_latent);
      arguments.aux_residual = task.aux_residual.as<Low>();
    }
  }
  gpu::update_latents(arguments, scratch(0).latents.data(), compute_);
}

template class CudaBackendImpl<float>;
template class CudaBackendImpl<BFloat16>;

}  // namespace saemill
