// Graphs of engine/gpu/runtime.h on the CPU: a recording is copied at each launch.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "common/base/error.h"
#include "engine/gpu/runtime.h"
#include "machine.h"

namespace saemill::gpu {
namespace emulation {

std::shared_ptr<Capture>& this_capture() {
  thread_local std::shared_ptr<Capture> capture;
  return capture;
}

namespace {

struct GraphState {
  int device = 0;
  std::vector<WorkPtr> nodes;  // each after those that it depends on
};

void begin(StreamState* stream) {
  std::lock_guard guard(machine().lock());
  refuse_in_capture("recording a graph");
  if (stream->capture) misuse("recording a graph", "the stream already records one");
  this_capture() = stream->capture = std::make_shared<Capture>();
  stream->capture->streams.push_back(stream);
  stream->tails_before_capture = std::move(stream->tails);
  stream->tails.clear();
}

// Streams go on as if nothing had been recorded. Returns what the first stream recorded last.
std::vector<WorkPtr> end(Capture& capture, const StreamState* first) {
  std::vector<WorkPtr> last;
  for (StreamState* stream : capture.streams) {
    if (stream == first) last = stream->tails;
    stream->tails = std::move(stream->tails_before_capture);
    stream->capture = nullptr;
  }
  capture.active = false;
  this_capture() = nullptr;
  return last;
}

void check_joined(const Capture& capture, std::vector<WorkPtr> last) {
  std::unordered_set<const Work*> seen;
  while (!last.empty()) {
    const WorkPtr work = last.back();
    last.pop_back();
    if (!seen.insert(work.get()).second) continue;
    last.insert(last.end(), work->after.begin(), work->after.end());
  }
  for (const WorkPtr& node : capture.nodes)
    if (node->run && !seen.contains(node.get()))
      misuse("recording a graph", node->name + " is on a stream that does not join the first one again");
}

}  // namespace
}  // namespace emulation

using emulation::machine;
using emulation::misuse;

Graph::Graph(const Stream& stream, const std::function<void()>& enqueue) {
  emulation::begin(emulation::state(stream));
  const std::shared_ptr<emulation::Capture> capture = emulation::this_capture();
  const auto finish = [&] {
    std::lock_guard guard(machine().lock());
    return emulation::end(*capture, emulation::state(stream));
  };
  try {
    enqueue();
  } catch (...) {
    finish();
    throw;
  }
  const std::vector<emulation::WorkPtr> last = finish();
  if (!capture->misuse.empty()) misuse("recording a graph", capture->misuse + " in it");
  emulation::check_joined(*capture, last);
  auto* state = new emulation::GraphState;
  state->device = emulation::this_device();
  state->nodes = capture->nodes;
  handle_ = state;
}

Graph::~Graph() {
  delete static_cast<emulation::GraphState*>(handle_);
}

void Graph::launch(const Stream& stream) const {
  ensure(handle_ != nullptr, "an empty graph is launched");
  const auto* graph = static_cast<const emulation::GraphState*>(handle_);
  std::lock_guard guard(machine().lock());
  emulation::StreamState* target = emulation::state(stream);
  if (target->capture) misuse("launching a graph", "the stream records another one");
  if (target->device != graph->device)
    misuse("launching a graph", fmt::format("it was recorded on GPU {}", graph->device));
  std::unordered_map<const emulation::Work*, emulation::WorkPtr> copies;
  std::vector<emulation::WorkPtr> all;
  for (const emulation::WorkPtr& node : graph->nodes) {
    auto work = std::make_shared<emulation::Work>();
    work->name = node->name;
    work->run = node->run;
    for (const emulation::WorkPtr& before : node->after) work->after.push_back(copies.at(before.get()));
    if (work->after.empty()) work->after = target->tails;
    copies[node.get()] = work;
    machine().enqueue(work);
    all.push_back(work);
  }
  if (!all.empty()) target->tails = std::move(all);  // the next work comes after all of it
}

}  // namespace saemill::gpu
