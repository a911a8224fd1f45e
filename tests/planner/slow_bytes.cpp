#include "tests/planner/slow_bytes.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string>

namespace tandem::planner_test {
namespace {

using planner::Device;
using planner::Purpose;

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

  static bool is_of_attention(const std::string& name) {
    return name.find(".attn_") != std::string::npos ||
           name.find(".post_attention_norm.") != std::string::npos;
  }

  void count_tensors() {
    for (const auto& tensor : header.tensors) {
      const auto& name = tensor.name;
      if (name.starts_with("blk.")) {
        const auto layer = std::stoul(name.substr(4));
        const auto& devices = is_of_attention(name) ? placement.attention : placement.ffn;
        place(devices[layer], Purpose::weights, tensor.size_bytes);
      } else if (name == "token_embd.weight" && untied()) {
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
        chunk = std::max(chunk, most_rows() * row(i));
      }
      bytes[{device, Purpose::kv_staging}] += up_to_64(drafts) + up_to_64(chunk);
    }
  }

  /// Of the longest piece of a prompt.
  [[nodiscard]] std::uint64_t chunk_rows() const {
    std::uint64_t chunk = workload.micro_batch - (workload.sequences - 1);
    while (chunk > 32 && chunk % 32 != 0) --chunk;
    return std::min(chunk, workload.max_seq_len);
  }

  /// Every sequence in turn brings rows of its prompt, fewer than `end` of a chunk, or what it decodes, until
  /// nothing more fits.
  [[nodiscard]] std::uint64_t filled_below(std::uint64_t end) const {
    std::uint64_t rows = 0;
    for (std::uint32_t sequence = 0; sequence < workload.sequences; ++sequence) {
      for (std::uint64_t row = 0; row + 1 < end || row <= workload.draft_rows; ++row) {
        if (rows < workload.micro_batch) ++rows;
      }
    }
    return rows;
  }
  [[nodiscard]] std::uint64_t most_rows() const { return filled_below(chunk_rows() + 1); }
  /// With units on the CPU computing what is not streamed.
  [[nodiscard]] std::uint64_t most_rows_in_place() const {
    return streamed().empty() ? most_rows() : filled_below(*workload.stream_rows);
  }

  /// FFN halves of the CPU whose weights pass through the GPU, if some chunk is long enough.
  [[nodiscard]] std::vector<std::size_t> streamed() const {
    std::vector<std::size_t> layers;
    const auto rows = workload.stream_rows.value_or(0);
    if (rows == 0 || rows > chunk_rows() || gpu() == Device::cpu) return layers;
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

  /// Elements of rows that tensor `name` multiplies as integers.
  [[nodiscard]] std::uint64_t integers(const std::string& name) const {
    const auto* tensor = header.find_tensor(name);
    if (tensor == nullptr) return 0;
    const bool floats = tensor->type == model::TensorType::f32 || tensor->type == model::TensorType::f16 ||
                        tensor->type == model::TensorType::bf16;
    return floats ? 0 : tensor->dims[0];
  }
  [[nodiscard]] std::uint64_t integers(std::size_t layer, std::initializer_list<const char*> stems) const {
    std::uint64_t longest = 0;
    for (const auto* stem : stems) {
      longest = std::max(longest, integers("blk." + std::to_string(layer) + "." + stem + ".weight"));
    }
    return longest;
  }
  [[nodiscard]] bool untied() const { return header.find_tensor("output.weight") != nullptr; }
  [[nodiscard]] std::uint64_t logit_rows() const {
    const auto rows = std::max<std::uint64_t>(8, workload.sequences * (1 + workload.draft_rows));
    return std::min<std::uint64_t>(rows, most_rows());
  }

  /// Buffer after buffer, each as large as some unit of the device needs it.
  void count_activations() {
    const auto m = most_rows();
    const auto width = header.find_tensor("output_norm.weight")->dims[0];
    const auto streams = streamed();
    for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) {
      std::uint64_t x = 0, normed = 0, projected = 0, q = 0, k = 0, v = 0, ffn = 0, blocks = 0;
      const auto need = [](std::uint64_t& buffer, std::uint64_t elems) { buffer = std::max(buffer, elems); };
      if (placement.head == device) {
        need(x, m * width);
        need(normed, logit_rows() * width);
        blocks = logit_rows() * ((integers(untied() ? "output.weight" : "token_embd.weight") + 31) / 32);
      }
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        const bool attends = placement.attention[i] == device;
        const bool streamed_here =
            device != Device::cpu && device == gpu() && std::ranges::find(streams, i) != streams.end();
        const bool feeds = placement.ffn[i] == device || streamed_here;
        const auto n = device == Device::cpu ? most_rows_in_place() : m;
        for (auto* const rows : {&x, &normed, &projected}) {
          if (attends) need(*rows, m * width);
          if (feeds) need(*rows, n * width);
        }
        if (attends) {
          need(q, m * dim(i, "attn_q", 1));
          need(k, m * dim(i, "attn_k", 1));
          need(v, m * dim(i, device == Device::cpu ? "attn_k" : "attn_v", 1));
          need(blocks, m * ((integers(i, {"attn_q", "attn_k", "attn_v", "attn_output"}) + 31) / 32));
        }
        if (feeds) {
          need(ffn, n * dim(i, "ffn_gate", 1));
          need(blocks, n * ((integers(i, {"ffn_gate", "ffn_up", "ffn_down"}) + 31) / 32));
        }
      }
      if (x == 0) continue;
      auto& sum = bytes[{device, Purpose::activations}];
      for (const auto floats : {x, normed, projected, q, q, k, v, ffn, ffn}) sum += up_to_64(floats * 4);
      sum += up_to_64(blocks * 40);
    }
  }

  void count_logits() {
    const auto vocab = header.find_tensor("token_embd.weight")->dims[1];
    bytes[{placement.head, Purpose::logits}] = up_to_64(logit_rows() * vocab * 4);
    const auto two_masks = up_to_64(2 * ((vocab + 63) / 64 * 8));
    bytes[{Device::cpu, Purpose::logits}] =
        up_to_64(logit_rows() * vocab * 4) + workload.sequences * two_masks;
  }

  /// What loading goes through: half of the largest tensor that is on the GPU or streamed to it.
  [[nodiscard]] std::uint64_t load_buffer() const {
    std::uint64_t largest = 0;
    const auto streams = streamed();
    for (const auto& tensor : header.tensors) {
      const auto& name = tensor.name;
      bool goes = false;
      if (name.starts_with("blk.")) {
        const auto layer = std::stoul(name.substr(4));
        const bool attends = is_of_attention(name);
        const bool streamed_there = !attends && std::ranges::find(streams, layer) != streams.end();
        goes = (attends ? placement.attention : placement.ffn)[layer] != Device::cpu || streamed_there;
      } else if (name != "rope_freqs.weight" && (name != "token_embd.weight" || !untied())) {
        goes = placement.head != Device::cpu;
      }
      if (goes) largest = std::max(largest, tensor.size_bytes);
    }
    return std::clamp<std::uint64_t>(up_to_64(largest / 2), 1024, 4 * 1024 * 1024);
  }

  /// What the GPU is told of a step, and what tokens are chosen in there.
  [[nodiscard]] std::uint64_t steps() const {
    std::uint64_t pages = 0;
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      if (placement.attention[i] == Device::cpu || slides(i)) continue;
      pages = workload.sequences * ((workload.max_seq_len + 63) / 64);
    }
    auto sum = up_to_64(most_rows() * 48) + up_to_64(pages * 4);
    if (placement.head == Device::cpu) return sum;
    const auto choices =
        std::min<std::uint64_t>(workload.sequences * (1 + workload.draft_rows), workload.micro_batch);
    sum += up_to_64(logit_rows() * 4) + up_to_64(choices * 4) + choices * 256 * (8 + 24);
    return untied() ? sum : sum + up_to_64(most_rows() * 4);
  }

  void count_transfers() {
    const auto width = header.find_tensor("output_norm.weight")->dims[0];
    std::map<std::pair<Device, Device>, std::uint64_t> directions;  // with rows
    auto rows = most_rows_in_place();
    auto at = untied() ? Device::cpu : placement.head;
    const auto go = [&](Device next) {
      if (next != at) directions[{at, next}] = std::max(directions[{at, next}], rows);
      at = next;
    };
    for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
      go(placement.attention[i]);
      go(placement.ffn[i]);
    }
    go(placement.head);
    if (!streamed().empty()) {
      rows = most_rows();
      at = untied() ? Device::cpu : placement.head;
      for (std::size_t i = 0; i < hyper.layers.size(); ++i) {
        go(placement.attention[i]);
        go(gpu());
      }
      go(placement.head);
    }
    for (const auto gpu : {Device::cuda0, Device::emulated0}) {
      if (!bytes.contains({gpu, Purpose::activations})) continue;
      bytes[{gpu, Purpose::transfer}] = steps();
      auto& pinned = bytes[{Device::cpu, Purpose::transfer}];
      pinned = steps() + load_buffer();
      for (const auto& [direction, crossing] : directions) pinned += 2 * up_to_64(crossing * width * 4);
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

  /// Of a decode step, one after another.
  [[nodiscard]] std::uint64_t attention_operations(std::size_t layer) const {
    const auto find = [&](const char* stem) {
      return header.find_tensor("blk." + std::to_string(layer) + "." + stem + ".weight");
    };
    std::vector<const char*> operations{"q", "k", "heads", "attend", "commit", "out", "norm"};
    if (find("attn_v") != nullptr) operations.push_back("v");
    if (workload.draft_rows > 0) operations.push_back("accepted drafts");
    if (!model::is_float(find("attn_output")->type)) operations.push_back("quantise");
    const auto& query = *find("attn_q");
    const auto head_dim = find("attn_q_norm")->dims[0];
    const auto heads = query.dims[1] / head_dim;
    const auto room = most_rows() * query.dims[0];
    if (room / (8 * heads * (head_dim + 2)) >= 3) operations.push_back("merge");
    return operations.size();
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
          bytes[{placement.attention[i], Purpose::graphs}] += attention_operations(i) * 1024;
        if (placement.ffn[i] != Device::cpu) bytes[{placement.ffn[i], Purpose::graphs}] += 5 * 1024;
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
