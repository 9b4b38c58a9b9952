#include "engine/train/state.h"

#include <algorithm>

#include "common/plan/tiles.h"

namespace saemill {

Share share_of(int64_t micro_batch_size, int64_t d_sae, int rank, int ranks) {
  const int64_t chunk = latent_chunk(d_sae);
  return {share_begin(micro_batch_size, kRowTile, rank, ranks),
          share_begin(micro_batch_size, kRowTile, rank + 1, ranks), share_begin(d_sae, chunk, rank, ranks),
          share_begin(d_sae, chunk, rank + 1, ranks)};
}

TrainingState::TrainingState(const Arena& arena, const Share& own)
    : weights{arena["W_enc"], arena["W_dec"], arena["b_enc"], arena["b_dec"]},
      m{arena["m.W_enc"], arena["m.W_dec"], arena["m.b_enc"], arena["m.b_dec"]},
      v{arena["v.W_enc"], arena["v.W_dec"], arena["v.b_enc"], arena["v.b_dec"]},
      packed{arena["packed.encoder"], arena["packed.decoder"], arena["packed.decoder_transposed"]},
      last_fired(arena["last_fired"]),
      share(own) {}

std::vector<CheckpointTensor> TrainingState::row_tensors() const {
  std::vector<CheckpointTensor> tensors;
  const auto add = [&](const char* name, const View& view) {
    const int64_t columns = view.rows == 1 ? 1 : view.cols;  // a vector has one number per latent
    tensors.push_back(
        {name, dtype_name(view.dtype), columns,
         view.data + static_cast<size_t>(share.first_latent * columns) * dtype_size(view.dtype)});
  };
  add("W_enc", weights.W_enc), add("W_dec", weights.W_dec), add("b_enc", weights.b_enc);
  add("m.W_enc", m.W_enc), add("m.W_dec", m.W_dec), add("m.b_enc", m.b_enc);
  add("v.W_enc", v.W_enc), add("v.W_dec", v.W_dec), add("v.b_enc", v.b_enc);
  add("last_fired", last_fired);
  return tensors;
}

std::vector<CheckpointTensor> TrainingState::shared_tensors() const {
  std::vector<CheckpointTensor> tensors;
  for (const auto& [name, view] :
       {std::pair{"b_dec", weights.b_dec}, {"m.b_dec", m.b_dec}, {"v.b_dec", v.b_dec}})
    tensors.push_back({name, dtype_name(view.dtype), view.cols, view.data});
  return tensors;
}

nlohmann::json TrainingState::to_json() const {
  return {{"step", step}, {"scale", scale}, {"rows", rows}, {"previous_l0", previous_l0}};
}

void TrainingState::from_json(const nlohmann::json& json) {
  step = json.at("step").get<int64_t>();
  scale = json.at("scale").get<double>();
  rows = json.value("rows", int64_t{0});
  previous_l0 = json.at("previous_l0").get<double>();
}

}  // namespace saemill
