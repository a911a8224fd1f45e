// Every sequence at its full context, micro-batches with all their rows: what the plan gave is used then, as
// the memory itself shows, which is filled with a pattern before.

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "tests/daemon/engine/served_model.h"

namespace tandem::engine {
namespace {

using planner::Device;
using planner::Purpose;
using std::chrono_literals::operator""s;

constexpr std::uint32_t kMicroBatch = 24;
constexpr std::uint64_t kContext = 64;
constexpr std::uint64_t kEnough = 95;  // of a hundred

/// What nobody has written yet: so does the emulated device fill memory that it gives.
constexpr int kPattern = 0xff;
/// Bytes count in pieces of this size: used if any of them changed.
constexpr std::size_t kPieceBytes = 16;

std::uint64_t changed_bytes(std::span<const std::byte> memory) {
  std::uint64_t changed = 0;
  for (std::size_t at = 0; at < memory.size(); at += kPieceBytes) {
    const auto piece = memory.subspan(at, std::min(kPieceBytes, memory.size() - at));
    const bool untouched = std::ranges::all_of(piece, [](std::byte b) { return b == std::byte{kPattern}; });
    if (!untouched) changed += piece.size();
  }
  return changed;
}

/// `bytes` from `memory` on, which is the device's.
std::vector<std::byte> download(device::Accelerator& device, const std::byte* memory, std::uint64_t bytes) {
  auto* const pinned = device.allocate_pinned(bytes);
  device.receive(reinterpret_cast<float*>(pinned), reinterpret_cast<const float*>(memory), bytes);
  return {pinned, pinned + bytes};
}

std::string name_of(Device device, Purpose purpose) {
  return std::string(planner::to_string(device)) + " " + std::string(planner::to_string(purpose));
}

/// Bytes that changed of each arena of `bound` that is not a file's.
std::map<std::string, std::uint64_t> changed_by_arena(const memory::BoundPlan& bound) {
  std::map<std::string, std::uint64_t> changed;
  for (const auto& arena : bound.arenas()) {
    const auto own = arena.own_memory();
    if (own.empty()) continue;
    const auto name = name_of(arena.device(), arena.purpose());
    if (arena.device() == Device::cpu) {
      changed[name] = changed_bytes(own);
    } else {
      changed[name] = changed_bytes(download(*bound.accelerator(), own.data(), own.size()));
    }
  }
  return changed;
}

/// Before anything is loaded.
void fill_with_pattern(memory::BoundPlan& bound) {
  for (const auto& arena : bound.arenas()) {
    const bool holds_weights = arena.purpose() == Purpose::weights || arena.purpose() == Purpose::head;
    if (arena.device() != Device::cpu || holds_weights) continue;
    const auto own = arena.own_memory();
    std::memset(own.data(), kPattern, own.size());
  }
}

/// Never ends before its last token.
EngineRequest request_of(const Served& served, std::size_t prompt_tok, std::size_t new_tok) {
  EngineRequest request;
  for (std::size_t i = 0; i < prompt_tok; ++i) {
    request.prompt.push_back(static_cast<model::TokenId>(5 + i * 31 % 200));
  }
  request.max_new_tok = new_tok;
  request.sampling.temperature = 0;
  for (model::TokenId id = 0; static_cast<std::uint32_t>(id) < served.tokenizer().size(); ++id) {
    if (served.tokenizer().ends_generation(id)) request.sampling.logit_bias.emplace_back(id, -1e9F);
  }
  return request;
}

/// All sequences to their last token: all but one decode while that has a long prompt, whose chunks take all
/// other rows, and then while a prompt is scored, which takes all other rows of logits.
void load_fully(Served& served) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  const auto decoding = served.bound().plan().workload.sequences - 1;
  for (std::uint32_t i = 0; i < decoding; ++i) {
    auto request = request_of(served, 8, kContext - 8);
    request.logprobs = 0;  // or a device keeps its logits
    sinks.push_back(served.submit(std::move(request)));
  }
  sinks.push_back(served.submit(request_of(served, kContext - 1, 1)));
  auto scored = request_of(served, kMicroBatch, 0);
  scored.echo = true;
  scored.logprobs = 1;
  sinks.push_back(served.submit(std::move(scored)));
  for (const auto& sink : sinks) EXPECT_NE(sink->wait_finished().reason, FinishReason::error);
  ASSERT_TRUE(served.engine().wait_idle(60s));
}

planner::Workload full_workload(std::uint32_t sequences) {
  planner::Workload workload;
  workload.max_seq_len = kContext;
  workload.sequences = sequences;
  workload.micro_batch = kMicroBatch;
  return workload;
}

/// Serves at full load, then compares each arena as planned, as memory shows and as the executor counted.
/// The arenas of `transfer` are left out.
void expect_all_used(const std::filesystem::path& file, const std::optional<planner::Placement>& placement,
                     std::uint32_t sequences) {
  std::unique_ptr<device::Accelerator> device;
  if (placement) device = cuda::make_accelerator(cuda::emulation::make_device({.seed = 3}));
  Served served(model::read_header(file), full_workload(sequences), placement, std::move(device), 1,
                fill_with_pattern);
  load_fully(served);
  served.engine().shutdown();
  const auto changed = changed_by_arena(served.bound());
  ASSERT_GE(changed.size(), 5U);
  for (const auto& line : served.executor().ledger()) {
    const auto name = name_of(line.device, line.purpose);
    // What weights are loaded through is as large as large weights need it (tests/memory).
    if (line.purpose == Purpose::transfer || !changed.contains(name)) continue;
    const bool holds_file =
        line.device == Device::cpu && (line.purpose == Purpose::weights || line.purpose == Purpose::head);
    EXPECT_GE(line.high_water_bytes * 100, line.planned_bytes * kEnough) << name;
    EXPECT_LE(line.high_water_bytes, line.planned_bytes) << name;
    if (holds_file) continue;
    EXPECT_GE(changed.at(name) * 100, line.planned_bytes * kEnough) << name;
    EXPECT_LE(changed.at(name), line.high_water_bytes + line.planned_bytes / 100) << name;
  }
}

const auto kQuantised = std::filesystem::path(TANDEM_SOURCE_DIR) / "config/embedded/tandem-tiny-q4_0.gguf";
constexpr std::size_t kQuantisedLayers = 6;

/// Every second unit on the device.
planner::Placement mixed(std::size_t layers, Device head) {
  auto placement = planner::Placement::all_on(Device::cpu, layers);
  for (std::size_t i = 0; i < layers; ++i) {
    placement.attention[i] = i % 2 == 0 ? Device::emulated0 : Device::cpu;
    placement.ffn[i] = i % 3 == 0 ? Device::emulated0 : Device::cpu;
  }
  placement.head = head;
  return placement;
}

TEST(FullLoad, UsesWhatThePlanGivesTheCpu) {
  expect_all_used(kQuantised, std::nullopt, 3);
}

TEST(FullLoad, UsesWhatThePlanGivesADevice) {
  expect_all_used(kQuantised, planner::Placement::all_on(Device::emulated0, kQuantisedLayers), 3);
}

// Sequences of a pipeline are in one micro-batch or in two, as it happens; one is always in one.
TEST(FullLoad, UsesWhatThePlanGivesBoth) {
  expect_all_used(kQuantised, mixed(kQuantisedLayers, Device::emulated0), 1);
}

}  // namespace
}  // namespace tandem::engine
