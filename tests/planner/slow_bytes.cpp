#include "tests/planner/slow_bytes.h"

#include <algorithm>
#include <set>
#include <string>

namespace tandem::planner_test {
namespace {

using planner::Device;
using planner::Purpose;
using planner::UnitKind;

std::uint64_t up_to_64(std::uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

struct Counter {
  const model::Header& header;
  const model::Hyperparameters& hyper;
  const planner::Workload& workload;
  const planner::Placement& placement;
  SlowBytes bytes = {};

  [[nodiscard]] std::uint64_t dim(std::size_t layer, const std::string& stem, std::size_t axis) const {
    const auto* tensor = header.find_tensor("blk." + std::to_string(layer) + "." + stem + ".weight");
    return tensor == nullptr ? 0 : tensor->dims.at(axis);
  }

  [[nodiscard]] bool slides(std::size_t layer) const {
    return hyper.layers[layer].kind == model::LayerKind::sliding;
  }

  /// Bytes one token caches: K and V, or what both come from.
  [[nodiscard]] std::uint64_t row(std::size_t layer) const {
    const auto elems = dim(layer, "attn_k", 1) + dim(layer, "attn_v", 1);
    if (workload.kv_type == planner::KvType::q8_0) return elems / 32 * (2 + 32);
    return elems * (workload.kv_type == planner::KvType::f16 ? 2 : 4);
  }

  void count_tensors() {
    const bool untied = header.find_tensor("output.weight") != nullptr;
    for (const auto& tensor : header.tensors) {
      const auto& name = tensor.name;
      if (name.starts_with("blk.")) {
        const auto layer = std::stoul(name.substr(4));
        const bool attends = name.find(".attn_") != std::string::npos ||
                             name.find(".post_attention_norm.") != std::string::npos;
        const auto& devices = attends ? placement.attention : placement.ffn;
        place(devices[layer], Purpose::weights, tensor.size_bytes);
      } else if (name == "token_embd.weight" && untied) {
        place(Device::cpu, Purpose::weights, tensor.size_bytes);
      } else if (name != "rope_freqs.weight") {
        place(placement.head, Purpose::head, tensor.size_bytes);
      }
    }
  }

  /// A tensor: in place on the CPU, copied to a multiple of 64 elsewhere.
  void place(Device device, Purpose purpose, std::uint64_t size) {
    bytes[{device, purpose}] += device == Device::cpu ? size : up_to_64(size);
  }

  void count_rope_tables() {
    std::set<std::pair<Device, bool>> seen;
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      if (!seen.emplace(placement.attention[i], slides(i)).second) continue;
      bytes[{placement.attention[i], Purpose::weights}] += up_to_64(dim(i, "attn_q_norm", 0) / 2 * 8);
    }
  }

  void count_kv() {
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      std::uint64_t rows = 0;
      for (std::uint32_t sequence = 0; sequence < workload.sequences; ++sequence) {
        std::set<std::uint64_t> cells;
        for (std::uint64_t position = 0; position < workload.max_seq_len; ++position) {
          if (slides(i)) {
            cells.insert(position % hyper.layers[i].window);
          } else {
            for (std::uint64_t cell = 0; cell < 64; ++cell) cells.insert(position / 64 * 64 + cell);
          }
        }
        rows += cells.size();
      }
      bytes[{placement.attention[i], Purpose::kv}] += up_to_64(rows * row(i));
    }
  }

  void count_staging() {
    for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) {
      std::uint64_t drafts = 0;
      std::uint64_t chunk = 0;
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        if (placement.attention[i] != device) continue;
        for (std::uint32_t r = 0; r < workload.sequences * workload.draft_rows; ++r) drafts += row(i);
        chunk = std::max(chunk, workload.micro_batch * row(i));
      }
      bytes[{device, Purpose::kv_staging}] += up_to_64(drafts) + up_to_64(chunk);
    }
  }

  /// FFN halves of the CPU whose weights pass through the GPU, if some chunk is long enough.
  [[nodiscard]] std::vector<std::size_t> streamed() const {
    std::vector<std::size_t> layers;
    auto chunk = workload.micro_batch - (workload.sequences - 1);
    while (chunk > 32 && chunk % 32 != 0) --chunk;
    const auto rows = workload.stream_rows.value_or(0);
    if (rows == 0 || rows > chunk || rows > workload.max_seq_len || gpu() == Device::cpu) return layers;
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      if (placement.ffn[i] == Device::cpu) layers.push_back(i);
    }
    return layers;
  }

  [[nodiscard]] Device gpu() const {
    auto devices = placement.attention;
    devices.insert(devices.end(), placement.ffn.begin(), placement.ffn.end());
    devices.push_back(placement.head);
    return *std::ranges::max_element(devices);  // the CPU is the first of all
  }

  void count_activations() {
    const std::uint64_t m = workload.micro_batch;
    const auto width = header.find_tensor("output_norm.weight")->dims[0];
    for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) {
      std::uint64_t q = 0;
      std::uint64_t k = 0;
      std::uint64_t ffn = 0;
      bool used = placement.head == device;
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        if (placement.attention[i] == device) {
          used = true;
          q = std::max(q, dim(i, "attn_q", 1));
          k = std::max(k, dim(i, "attn_k", 1));
        }
        if (placement.ffn[i] == device) {
          used = true;
          ffn = std::max(ffn, dim(i, "ffn_gate", 1));
        }
      }
      if (!used) continue;
      for (const auto i : streamed()) {
        if (device != Device::cpu) ffn = std::max(ffn, dim(i, "ffn_gate", 1));
      }
      const auto floats = [m](std::uint64_t elems) { return up_to_64(m * elems * 4); };
      const auto blocks = (std::max({width, q, ffn}) + 31) / 32;
      bytes[{device, Purpose::activations}] =
          3 * floats(width) + 2 * floats(q) + 2 * floats(k) + 2 * floats(ffn) + up_to_64(m * blocks * 40);
    }
  }

  void count_logits() {
    const auto vocab = header.find_tensor("token_embd.weight")->dims[1];
    std::uint64_t rows = std::max<std::uint64_t>(8, workload.sequences * (1 + workload.draft_rows));
    rows = std::min<std::uint64_t>(rows, workload.micro_batch);
    bytes[{Device::cpu, Purpose::logits}] = up_to_64(rows * vocab * 4);
    bytes[{placement.head, Purpose::logits}] = up_to_64(rows * vocab * 4);
  }

  void count_transfers() {
    const auto width = header.find_tensor("output_norm.weight")->dims[0];
    const auto buffer = up_to_64(workload.micro_batch * width * 4);
    std::set<std::pair<Device, Device>> directions;
    auto at = header.find_tensor("output.weight") == nullptr ? placement.head : Device::cpu;
    const auto go = [&](Device next) {
      if (next != at) directions.emplace(at, next);
      at = next;
    };
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      go(placement.attention[i]);
      go(placement.ffn[i]);
    }
    go(placement.head);
    if (!streamed().empty()) {
      at = header.find_tensor("output.weight") == nullptr ? placement.head : Device::cpu;
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        go(placement.attention[i]);
        go(gpu());
      }
      go(placement.head);
    }
    std::uint64_t pages = 0;
    for (std::uint64_t position = 0; position < workload.max_seq_len; position += 64)
      pages += workload.sequences;
    const auto steps = up_to_64(workload.micro_batch * 80 + pages * 4 + 512);
    for (const auto gpu : {Device::cuda0, Device::emulated0}) {
      if (!bytes.contains({gpu, Purpose::activations})) continue;
      bytes[{gpu, Purpose::transfer}] = steps;
      bytes[{Device::cpu, Purpose::transfer}] = steps + 4 * 1024 * 1024 + directions.size() * 2 * buffer;
      if (placement.head == gpu) {
        std::uint64_t rows = std::max<std::uint64_t>(8, workload.sequences * (1 + workload.draft_rows));
        rows = std::min<std::uint64_t>(rows, workload.micro_batch);
        for (const auto device : {Device::cpu, gpu})
          bytes[{device, Purpose::transfer}] += rows * (256 * (8 + 24) + 64);
      }
      if (streamed().empty()) continue;
      std::uint64_t largest = 0;
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        for (const auto* stem : {"ffn_gate", "ffn_up", "ffn_down"}) {
          const auto* tensor = header.find_tensor("blk." + std::to_string(i) + "." + stem + ".weight");
          largest = std::max(largest, up_to_64(tensor->size_bytes));
        }
      }
      bytes[{gpu, Purpose::transfer}] += 2 * (largest + up_to_64(width * 4));
    }
  }

  /// Records of decode steps of every shape, one after another.
  void count_graphs() {
    const auto up_to_power = [](std::uint64_t n) {
      while ((n & (n - 1)) != 0) ++n;
      return n;
    };
    std::set<std::uint64_t> row_shapes;
    for (std::uint64_t rows = 1; rows <= 8 && rows <= workload.micro_batch; ++rows) {
      if (rows > workload.sequences * (1 + workload.draft_rows)) break;
      row_shapes.insert(std::min<std::uint64_t>(up_to_power(rows), workload.micro_batch));
    }
    std::set<std::uint64_t> contexts;
    for (std::uint64_t tokens = 1; tokens <= workload.max_seq_len; ++tokens) {
      if (contexts.empty() || tokens > *contexts.rbegin())
        contexts.insert(std::max<std::uint64_t>(256, up_to_power(tokens)));
    }
    const auto shapes = std::min<std::size_t>(row_shapes.size() * contexts.size(), 64);
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      for (std::size_t shape = 0; shape < shapes; ++shape) {
        if (placement.attention[i] != Device::cpu)
          bytes[{placement.attention[i], Purpose::graphs}] += 11 * 1024;
        if (placement.ffn[i] != Device::cpu) bytes[{placement.ffn[i], Purpose::graphs}] += 6 * 1024;
      }
    }
  }

  void count_fixed(const planner::Budget& budget, std::uint64_t driver_bytes) {
    bytes[{Device::cpu, Purpose::reserve}] = budget.ram_reserve_bytes;
    for (const auto gpu : {Device::cuda0, Device::emulated0}) {
      if (!bytes.contains({gpu, Purpose::activations})) continue;
      bytes[{gpu, Purpose::reserve}] = budget.vram_reserve_bytes;
      if (gpu == Device::cuda0) bytes[{gpu, Purpose::driver}] = driver_bytes;
    }
  }
};

}  // namespace

SlowBytes slow_bytes(const model::Header& header, const model::Hyperparameters& hyper,
                     const planner::Budget& budget, const planner::Workload& workload,
                     std::uint64_t driver_bytes, const planner::Placement& placement) {
  Counter counter{header, hyper, workload, placement};
  counter.count_tensors();
  counter.count_rope_tables();
  counter.count_kv();
  counter.count_staging();
  counter.count_activations();
  counter.count_logits();
  counter.count_transfers();
  counter.count_graphs();
  counter.count_fixed(budget, driver_bytes);
  std::erase_if(counter.bytes, [](const auto& line) { return line.second == 0; });
  return counter.bytes;
}

std::uint64_t slow_ram(const SlowBytes& bytes) {
  std::uint64_t sum = 0;
  for (const auto& [line, size] : bytes) sum += line.first == Device::cpu ? size : 0;
  return sum;
}

std::uint64_t slow_vram(const SlowBytes& bytes) {
  std::uint64_t sum = 0;
  for (const auto& [line, size] : bytes) sum += line.first == Device::cpu ? 0 : size;
  return sum;
}

}  // namespace tandem::planner_test
