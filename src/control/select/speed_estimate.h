// How fast a training will go, learned from those that ran on this machine: a pure function.
//
// Work of an activation, in FLOPs (d = d_in, s = d_sae):
//   relu   12 d s           encoder and decoder, once forward and twice backward
//   topk   2 d s + 8 d k    the encoder is dense; decoder, gradient of the code and both weight gradients
//   touch
//                           k latents alone (the auxiliary loss is left out: its latents die as they will)
//   each   + 32 d s / batch the update, once a step: 16 for each of 2 d s parameters
// A device's rate is the work of its share over the part of a step in which it neither waits for data nor for
// an exchange. Bytes that a rank exchanges in a step of n ranks: (n - 1) / n of two matrices of the batch
// ([batch, d], activations and residuals) and two of the dictionary ([s, d], new rows).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/protocol/run_config.h"

namespace saemill {

// What the speed depends on.
struct SpeedShape {
  std::string architecture, dtype;
  int64_t d_in = 0, d_sae = 0, k = 0, batch = 0;
};
SpeedShape speed_shape(const RunConfig& resolved);

double work_of_activation(const SpeedShape& shape);
double exchanged_bytes(const SpeedShape& shape, int64_t devices);  // of a rank, in a step

struct PastRun {
  SpeedShape shape;
  std::string device;  // the name of each of its devices
  int64_t devices = 1;
  double step_ms = 0;
  double data_wait_ms = 0, comm_exposed_ms = 0;  // parts of it
};

struct SpeedEstimate {
  double activations_per_second = 0;
  // Of n devices against n times one; absent: it is not known what an exchange costs here, and the speed is
  // without it.
  std::optional<double> efficiency;
  int64_t based_on = 0;  // runs
};

// From the runs on devices of this name: those of the same architecture if there are any, of them those of
// the same dtype, of them the few whose shape is nearest; each number is their median. Absent: there are
// none.
std::optional<SpeedEstimate> estimate_speed(const SpeedShape& shape, const std::string& device,
                                            int64_t devices, const std::vector<PastRun>& past);

// Adds {activations_per_second?, efficiency?, based_on?}.
void add_speed(nlohmann::ordered_json& json, const std::optional<SpeedEstimate>& speed);

}  // namespace saemill
