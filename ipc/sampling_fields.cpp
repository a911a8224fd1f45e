#include "ipc/sampling_fields.h"

#include <charconv>
#include <optional>
#include <utility>

namespace tandem::ipc {

namespace {

/// The id that `name` writes in decimal, below `vocab`.
std::int32_t read_token_id(const std::string& name, std::uint32_t vocab) {
  std::uint32_t id = 0;
  const char* const end = name.data() + name.size();
  const auto read = std::from_chars(name.data(), end, id);
  if (read.ec != std::errc() || read.ptr != end || id >= vocab) {
    refuse_field("logit_bias", "has '" + name + "', which is not a token id from 0 to " +
                                   std::to_string(std::int64_t{vocab} - 1));
  }
  return static_cast<std::int32_t>(id);
}

}  // namespace

std::optional<float> as_float(std::optional<double> value) {
  return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
}

void read_sampling(Fields& fields, GenerationRequest& settings) {
  settings.temperature = as_float(fields.number("temperature", 0.0, 2.0));
  settings.top_p = as_float(fields.number("top_p", 0.0, 1.0));
  settings.min_p = as_float(fields.number("min_p", 0.0, 1.0));
  settings.repetition_penalty = as_float(fields.number("repetition_penalty", 0.01, 10.0));
  settings.presence_penalty = as_float(fields.number("presence_penalty", -2.0, 2.0));
  settings.frequency_penalty = as_float(fields.number("frequency_penalty", -2.0, 2.0));
  // vLLM's clients write "no limit" as -1.
  if (const auto top_k = fields.integer("top_k", -1, 1'000'000)) {
    settings.top_k = static_cast<std::uint32_t>(*top_k < 0 ? 0 : *top_k);
  }
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX)) {
    settings.seed = static_cast<std::uint64_t>(*seed);
  }
}

std::vector<std::string> read_stop(const Json* stop, const std::string& name, const Limits& limits) {
  if (stop == nullptr) return {};
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > limits.stop_strings) {
    refuse_field(name, "has " + std::to_string(list.size()) + " strings, the limit stop_strings is " +
                           std::to_string(limits.stop_strings));
  }
  std::vector<std::string> strings;
  for (const Json& one : list) {
    if (!one.is_string()) refuse_field(name, "must be a string or an array of strings");
    auto text = one.get<std::string>();
    if (text.empty()) refuse_field(name, "has an empty string");
    if (text.size() > limits.stop_bytes) {
      refuse_field(name, "has a string of " + std::to_string(text.size()) +
                             " bytes, the limit stop_bytes is " + std::to_string(limits.stop_bytes));
    }
    strings.push_back(std::move(text));
  }
  return strings;
}

std::vector<LogitBias> read_logit_bias(const Json* bias, std::uint32_t vocab) {
  if (bias == nullptr) return {};
  if (!bias->is_object()) refuse_field("logit_bias", "must be an object");
  Fields values(*bias, "logit_bias.");
  std::vector<LogitBias> biases;
  for (const auto& [name, value] : bias->items()) {
    const auto token = read_token_id(name, vocab);
    const auto number = values.number(name, -100.0, 100.0);
    if (!number) refuse_field("logit_bias." + name, "must be a number");
    for (const LogitBias& other : biases) {
      if (other.token == token) refuse_field("logit_bias", "names token " + std::to_string(token) + " twice");
    }
    biases.push_back({token, static_cast<float>(*number)});
  }
  return biases;
}

bool read_include_usage(Fields& fields, bool stream) {
  const Json* options = fields.value("stream_options");
  if (options == nullptr) return false;
  if (!stream) refuse_field("stream_options", "is only for requests with stream: true");
  Fields inner(*options, "stream_options.");
  const bool include_usage = inner.boolean("include_usage").value_or(false);
  inner.boolean("include_obfuscation");
  inner.refuse_others();
  return include_usage;
}

AnswerFormat read_grammar_fields(Fields& fields) {
  auto grammar = fields.text("grammar");
  const Json* schema = fields.value("json_schema");
  if (grammar && schema != nullptr) refuse_field("json_schema", "and 'grammar' exclude each other");
  AnswerFormat format;
  if (grammar) {
    format.kind = AnswerFormat::Kind::gbnf;
    format.grammar = std::move(*grammar);
    format.field = "grammar";
  } else if (schema != nullptr) {
    format.kind = AnswerFormat::Kind::json_schema;
    format.schema = *schema;
    format.field = "json_schema";
  }
  return format;
}

void add_choices(const GenerationRequest& request, std::size_t choices, std::vector<GenerationRequest>& to) {
  for (std::size_t i = 0; i < choices; ++i) {
    GenerationRequest& one = to.emplace_back(request);
    if (one.seed) *one.seed += i;
  }
}

void name_sequences(std::vector<GenerationRequest>& sequences, const std::string& id) {
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].id = sequences.size() == 1 ? id : id + "-" + std::to_string(i);
  }
}

}  // namespace tandem::ipc
