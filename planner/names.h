#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "planner/plan.h"

namespace tandem::planner {

/// A value of an enumeration and its name in plan JSON.
template <typename Enum>
struct Name {
  Enum value;
  std::string_view text;
};

inline constexpr std::array kDeviceNames{Name<Device>{Device::cpu, "cpu"},
                                         Name<Device>{Device::cuda0, "cuda0"},
                                         Name<Device>{Device::emulated0, "emulated0"}};
inline constexpr std::array kPurposeNames{Name<Purpose>{Purpose::weights, "weights"},
                                          Name<Purpose>{Purpose::head, "head"},
                                          Name<Purpose>{Purpose::kv, "kv"},
                                          Name<Purpose>{Purpose::kv_staging, "kv_staging"},
                                          Name<Purpose>{Purpose::activations, "activations"},
                                          Name<Purpose>{Purpose::logits, "logits"},
                                          Name<Purpose>{Purpose::transfer, "transfer"},
                                          Name<Purpose>{Purpose::checkpoints, "checkpoints"},
                                          Name<Purpose>{Purpose::graphs, "graphs"},
                                          Name<Purpose>{Purpose::driver, "driver"},
                                          Name<Purpose>{Purpose::reserve, "reserve"}};
inline constexpr std::array kKvTypeNames{Name<KvType>{KvType::f32, "f32"}, Name<KvType>{KvType::f16, "f16"},
                                         Name<KvType>{KvType::q8_0, "q8_0"}};
inline constexpr std::array kKvLayoutNames{Name<KvLayout>{KvLayout::separate, "separate"},
                                           Name<KvLayout>{KvLayout::vector, "vector"},
                                           Name<KvLayout>{KvLayout::vector_rotated, "vector_rotated"}};
inline constexpr std::array kUnitKindNames{Name<UnitKind>{UnitKind::attention, "attention"},
                                           Name<UnitKind>{UnitKind::ffn, "ffn"},
                                           Name<UnitKind>{UnitKind::head, "head"}};
inline constexpr std::array kOptimiseNames{
    Name<Optimise>{Optimise::decode, "decode"}, Name<Optimise>{Optimise::prefill, "prefill"},
    Name<Optimise>{Optimise::request, "request"}, Name<Optimise>{Optimise::throughput, "throughput"},
    Name<Optimise>{Optimise::context, "context"}};
inline constexpr std::array kHeadTypeNames{Name<HeadType>{HeadType::keep, "keep"},
                                           Name<HeadType>{HeadType::q8_0, "q8_0"},
                                           Name<HeadType>{HeadType::q6_k, "q6_k"}};
inline constexpr std::array kCpuWeightsNames{Name<CpuWeights>{CpuWeights::repacked, "repacked"},
                                             Name<CpuWeights>{CpuWeights::mapped, "mapped"}};
inline constexpr std::array kLayerKindNames{Name<model::LayerKind>{model::LayerKind::sliding, "sliding"},
                                            Name<model::LayerKind>{model::LayerKind::global, "global"}};

/// The name of `value` in `names`.
template <typename Names, typename Enum>
constexpr std::string_view name_of(const Names& names, Enum value) noexcept {
  for (const auto& name : names) {
    if (name.value == value) return name.text;
  }
  return {};
}

/// The value called `text`, or nothing.
template <typename Names>
constexpr auto value_of(const Names& names, std::string_view text) noexcept {
  std::optional<decltype(names[0].value)> found;
  for (const auto& name : names) {
    if (name.text == text) found = name.value;
  }
  return found;
}

}  // namespace tandem::planner
