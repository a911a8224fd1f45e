#include "planner/plan_svg.h"

#include <algorithm>
#include <vector>

#include "planner/chart.h"
#include "planner/layer_strip.h"
#include "planner/memory_bar.h"
#include "planner/names.h"
#include "planner/plan_consistency.h"
#include "planner/size_text.h"
#include "planner/streaming.h"
#include "planner/svg.h"

namespace tandem::planner {
namespace {

// Pixels.
constexpr double kWidth = 960;
constexpr double kMargin = 24;
constexpr double kLabelWidth = 96;
constexpr double kLeft = kMargin + kLabelWidth;
constexpr double kInner = kWidth - kLeft - kMargin;
constexpr double kBarHeight = 40;
constexpr double kBarPitch = 84;
constexpr double kRowHeight = 22;
constexpr double kStreamedStripe = 5;
constexpr double kLegendPitch = 20;
constexpr std::size_t kLegendColumns = 4;

/// One picture, drawn from top to bottom; `y_` is where the next part starts.
class Drawing {
 public:
  Drawing(const Plan& plan, double height)
      : plan_(plan),
        streams_(!streamed_units(plan.workload, placement_of(plan)).empty()),
        svg_(kWidth, height, plan.model.name + " on " + plan.machine) {}

  void heading() {
    const auto title = fitted(plan_.model.name + " on " + plan_.machine, kWidth - 2 * kMargin, 18);
    svg_.text({kMargin, 36}, title, {18, Anchor::start, "#000000", true});
    const auto& workload = plan_.workload;
    svg_.text({kMargin, 58},
              std::to_string(workload.sequences) +
                  (workload.sequences == 1 ? " sequence of " : " sequences of ") +
                  tokens_text(workload.max_seq_len) + ", KV in " + std::string(to_string(workload.kv_type)) +
                  "; " + three_digits(plan_.predicted.decode_tok_per_s) + " tok/s decode at " +
                  grouped(workload.expected_context) + " tokens, " +
                  three_digits(plan_.predicted.prefill_tok_per_s) + " tok/s prompt",
              {13});
    if (!plan_.fits) {
      svg_.text({kMargin, 78}, "does not fit", {13, Anchor::start, "#B00020", true});
    }
    y_ = 96;
  }

  void device(Device device) {
    const bool is_cpu = device == Device::cpu;
    const auto used = is_cpu ? plan_.ram_bytes : plan_.vram_bytes;
    const auto budget = is_cpu ? plan_.budget.ram_bytes : plan_.budget.vram_bytes;
    const auto whole = std::max(used, budget);
    svg_.text({kMargin, y_ + 11}, to_string(device), {14, Anchor::start, "#000000", true});
    svg_.text({kMargin, y_ + 27}, short_size(used), {11});
    svg_.text({kMargin, y_ + 40}, "of " + short_size(budget), {11});
    svg_.rectangle({kLeft, y_}, kInner, kBarHeight, style_of_free().hex,
                   budget > used ? "free: " + grouped(budget - used) + " bytes" : "");
    parts(device, whole);
    if (used > budget) over_budget(budget, whole);
    ticks(whole);
    y_ += kBarPitch;
  }

  void purposes() {
    std::size_t drawn = 0;
    for (const auto& purpose : kPurposeNames) {
      std::uint64_t bytes = 0;
      for (const auto& arena : plan_.arenas) bytes += arena.purpose == purpose.value ? arena.bytes : 0;
      if (bytes == 0) continue;
      const auto column = static_cast<double>(drawn % kLegendColumns);
      const std::size_t row = drawn / kLegendColumns;
      const Point at{kLeft + column * kInner / kLegendColumns, y_ + static_cast<double>(row) * kLegendPitch};
      svg_.rectangle(at, 12, 12, style_of(purpose.value).hex);
      svg_.text({at.x + 18, at.y + 11}, std::string(purpose.text) + " " + short_size(bytes), {12});
      ++drawn;
    }
    const std::size_t rows = (drawn + kLegendColumns - 1) / kLegendColumns;
    y_ += static_cast<double>(rows) * kLegendPitch + 36;
  }

  void layers() {
    const auto cells = static_cast<double>(plan_.layers.size()) + 2;  // a gap, and the head
    const auto width = kInner / cells;
    svg_.text({kMargin, y_ - 8}, "layers", {14, Anchor::start, "#000000", true});
    for (std::size_t i = 0; i < plan_.layers.size(); ++i) {
      layer(plan_.layers[i], kLeft + static_cast<double>(i) * width, width);
    }
    row_label("attention", 0);
    row_label("FFN", 1);
    row_label("KV", 2);
    const auto head_x = kLeft + (cells - 1) * width;
    svg_.rectangle({head_x, y_}, width - 1, 2 * kRowHeight, style_of(plan_.head.device).hex,
                   "head, " + plan_.head.type + " on " + std::string(to_string(plan_.head.device)) + ": " +
                       grouped(plan_.head.bytes) + " bytes");
    svg_.text({head_x + width, y_ - 6}, "head", {10, Anchor::end});
    y_ += 3 * kRowHeight + 22;
    strip_legend();
  }

  [[nodiscard]] std::string document() const { return svg_.document(); }

 private:
  void parts(Device device, std::uint64_t whole) {
    constexpr double kTextPixelsPerLetter = 7;
    double sum = 0;
    for (const auto& purpose : kPurposeNames) {
      const auto bytes = plan_.arena_bytes(device, purpose.value);
      if (bytes == 0) continue;
      const auto style = style_of(purpose.value);
      const auto x = kLeft + sum / static_cast<double>(whole) * kInner;
      const auto width = static_cast<double>(bytes) / static_cast<double>(whole) * kInner;
      svg_.rectangle({x, y_}, width, kBarHeight, style.hex,
                     std::string(purpose.text) + ": " + grouped(bytes) + " bytes");
      if (width > kTextPixelsPerLetter * static_cast<double>(purpose.text.size() + 2)) {
        svg_.text({x + width / 2, y_ + 17}, purpose.text, {11, Anchor::middle, hex_on(style)});
        svg_.text({x + width / 2, y_ + 32}, short_size(bytes), {11, Anchor::middle, hex_on(style)});
      }
      sum += static_cast<double>(bytes);
    }
  }

  void over_budget(std::uint64_t budget, std::uint64_t whole) {
    const auto x = kLeft + static_cast<double>(budget) / static_cast<double>(whole) * kInner;
    svg_.line({x, y_ - 4}, {x, y_ + kBarHeight + 4}, "#B00020", 2, "5 3");
    svg_.text({x, y_ - 6}, "budget", {11, x > kLeft + 40 ? Anchor::end : Anchor::start, "#B00020"});
  }

  /// Lengths below the bar, in GB.
  void ticks(std::uint64_t whole) {
    const auto whole_gb = static_cast<double>(whole) / 1e9;
    for (const auto& tick : axis_from_zero("", whole_gb).ticks) {
      if (tick.at > whole_gb) break;
      const auto x = kLeft + tick.at / whole_gb * kInner;
      svg_.line({x, y_ + kBarHeight}, {x, y_ + kBarHeight + 5}, "#888888");
      svg_.text({x, y_ + kBarHeight + 18}, tick.text + (tick.at == 0 ? "" : " GB"),
                {10, Anchor::middle, "#555555"});
    }
  }

  void row_label(std::string_view text, int row) {
    svg_.text({kLeft - 10, y_ + row * kRowHeight + 15}, text, {12, Anchor::end});
  }

  void layer(const LayerPlan& layer, double x, double width) {
    const auto name = "layer " + std::to_string(layer.index) + ", " + std::string(to_string(layer.kind));
    const auto cell = [&](int row, std::string_view fill, const std::string& tip) {
      svg_.rectangle({x, y_ + row * kRowHeight}, width - 1, kRowHeight - 2, fill, name + ": " + tip);
    };
    cell(0, style_of(layer.attention_device).hex,
         "attention on " + std::string(to_string(layer.attention_device)));
    const bool streamed = streams_ && layer.ffn_device == Device::cpu;
    cell(1, style_of(layer.ffn_device).hex,
         "FFN on " + std::string(to_string(layer.ffn_device)) +
             (streamed ? ", its weights streamed to the GPU for prompts" : ""));
    if (streamed) {
      svg_.rectangle({x, y_ + 2 * kRowHeight - 2 - kStreamedStripe}, width - 1, kStreamedStripe,
                     style_of(Device::cuda0).hex);
    }
    const auto level = kv_level(layer.kv_bytes, largest_layer_kv_bytes(plan_));
    cell(2, style_of_level(level).hex, grouped(layer.kv_bytes) + " bytes of KV for a sequence");
    if (layer.ffn_gpu_rows > 0) {
      svg_.rectangle({x, y_ + kRowHeight + (kRowHeight - 2) / 2}, width - 1, (kRowHeight - 2) / 2,
                     style_of(Device::cuda0).hex,
                     name + ": " + grouped(layer.ffn_gpu_rows) + " rows of the FFN on the GPU");
    }
    if (layer.kind == model::LayerKind::global) {
      svg_.circle({x + (width - 1) / 2, y_ - 6}, std::min(2.5, width / 4), "#222222", "none");
    }
    if (layer.index % 10 == 0) {
      svg_.text({x + (width - 1) / 2, y_ + 3 * kRowHeight + 10}, std::to_string(layer.index),
                {10, Anchor::middle, "#555555"});
    }
  }

  void strip_legend() {
    double x = kLeft;
    const auto entry = [&](std::string_view fill, const std::string& text, double pitch) {
      svg_.rectangle({x, y_}, 12, 12, fill);
      svg_.text({x + 18, y_ + 11}, text, {12});
      x += pitch;
    };
    entry(style_of(Device::cuda0).hex, "on the GPU", 100);
    entry(style_of(Device::cpu).hex, "on the CPU", 100);
    if (streams_) {
      const auto stripe_x = x;
      entry(style_of(Device::cpu).hex, "streamed for prompts", 155);
      svg_.rectangle({stripe_x, y_ + 12 - kStreamedStripe}, 12, kStreamedStripe, style_of(Device::cuda0).hex);
    }
    svg_.circle({x + 6, y_ + 6}, 2.5, "#222222", "none");
    svg_.text({x + 18, y_ + 11}, "global attention", {12});
    x += 130;
    svg_.text({x, y_ + 11}, "KV for a sequence: up to", {12});
    x += 155;
    for (int level = 1; level <= 9; ++level) {
      svg_.rectangle({x, y_}, 12, 12, style_of_level(level).hex);
      x += 12;
    }
    svg_.text({x + 6, y_ + 11}, short_size(largest_layer_kv_bytes(plan_)), {12});
  }

  const Plan& plan_;
  bool streams_;  ///< FFN halves on the CPU, for prompts
  Svg svg_;
  double y_ = 0;
};

}  // namespace

std::string plan_svg(const Plan& plan) {
  const auto has = [&plan](Device device) {
    return std::ranges::find(plan.arenas, device, &ArenaPlan::device) != plan.arenas.end();
  };
  std::vector<Device> devices;
  std::ranges::copy_if(std::vector{Device::cuda0, Device::emulated0, Device::cpu},
                       std::back_inserter(devices), has);
  const auto purposes =
      static_cast<std::size_t>(std::ranges::count_if(kPurposeNames, [&plan](const auto& purpose) {
        return std::ranges::find(plan.arenas, purpose.value, &ArenaPlan::purpose) != plan.arenas.end();
      }));
  const auto legend_rows = (purposes + kLegendColumns - 1) / kLegendColumns;
  const auto height = 96 + static_cast<double>(devices.size()) * kBarPitch +
                      static_cast<double>(legend_rows) * kLegendPitch + 36 + 3 * kRowHeight + 22 + 12 +
                      kMargin;
  Drawing drawing(plan, height);
  drawing.heading();
  for (const auto device : devices) drawing.device(device);
  drawing.purposes();
  drawing.layers();
  return drawing.document();
}

}  // namespace tandem::planner
