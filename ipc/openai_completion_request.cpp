#include "ipc/openai_completion_request.h"

#include <optional>
#include <utility>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

using Prompt = CompletionRequest::Prompt;

constexpr const char* kPromptForms =
    "must be a string, an array of strings, an array of token ids or an array of arrays of token ids";

bool is_id_array(const Json& value) {
  return value.is_array() && !value.empty() && value[0].is_number();
}

std::vector<std::int32_t> read_ids(const Json& ids, std::uint32_t vocab, const Limits& limits) {
  if (ids.empty()) refuse_field("prompt", "has no tokens");
  if (ids.size() > limits.prompt_tok) {
    refuse_field("prompt", "has " + std::to_string(ids.size()) + " tokens, the limit prompt_tok is " +
                               std::to_string(limits.prompt_tok));
  }
  std::vector<std::int32_t> out;
  out.reserve(ids.size());
  for (const Json& id : ids) {
    if (!id.is_number_integer()) refuse_field("prompt", kPromptForms);
    const auto number = id.get<std::int64_t>();
    if (number < 0 || number >= vocab) {
      refuse_field("prompt", "has token id " + id.dump() + ", the vocabulary ends at " +
                                 std::to_string(static_cast<std::int64_t>(vocab) - 1));
    }
    out.push_back(static_cast<std::int32_t>(number));
  }
  return out;
}

Prompt read_prompt(const Json& prompt, std::uint32_t vocab, const Limits& limits) {
  if (prompt.is_string()) return prompt.get<std::string>();
  if (prompt.is_array()) return read_ids(prompt, vocab, limits);
  refuse_field("prompt", kPromptForms);
}

std::vector<Prompt> read_prompts(const Json* prompt, std::uint32_t vocab, const Limits& limits) {
  if (prompt == nullptr) refuse_field("prompt", "is required");
  if (!prompt->is_array() || is_id_array(*prompt)) return {read_prompt(*prompt, vocab, limits)};
  if (prompt->empty()) refuse_field("prompt", "is an empty array");
  if (prompt->size() > limits.prompts) {
    refuse_field("prompt", "has " + std::to_string(prompt->size()) + " prompts, the limit prompts is " +
                               std::to_string(limits.prompts));
  }
  std::vector<Prompt> prompts;
  for (const Json& one : *prompt) {
    if (one.type() != prompt->front().type()) refuse_field("prompt", kPromptForms);
    prompts.push_back(read_prompt(one, vocab, limits));
  }
  return prompts;
}

std::vector<std::string> read_stop(const Json* stop, const Limits& limits) {
  if (stop == nullptr) return {};
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > limits.stop_strings) {
    refuse_field("stop", "has " + std::to_string(list.size()) + " strings, the limit stop_strings is " +
                             std::to_string(limits.stop_strings));
  }
  std::vector<std::string> strings;
  for (const Json& one : list) {
    if (!one.is_string()) refuse_field("stop", "must be a string or an array of strings");
    auto text = one.get<std::string>();
    if (text.empty()) refuse_field("stop", "has an empty string");
    if (text.size() > limits.stop_bytes) {
      refuse_field("stop", "has a string of " + std::to_string(text.size()) +
                               " bytes, the limit stop_bytes is " + std::to_string(limits.stop_bytes));
    }
    strings.push_back(std::move(text));
  }
  return strings;
}

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

void read_stream_options(Fields& fields, CompletionRequest& completion) {
  const Json* options = fields.value("stream_options");
  if (options == nullptr) return;
  if (!completion.stream) refuse_field("stream_options", "is only for requests with stream: true");
  Fields inner(*options, "stream_options.");
  completion.include_usage = inner.boolean("include_usage").value_or(false);
  inner.boolean("include_obfuscation");
  inner.refuse_others();
}

/// Fields of the API that have one value here; clients that send that value are served.
void refuse_what_is_not_there(Fields& fields) {
  fields.text("model");
  fields.text("user");
  fields.integer("n", 1, 1);
  fields.integer("best_of", 1, 1);
  if (fields.value("suffix") != nullptr) refuse_field("suffix", "is not supported; leave it out");
  const Json* bias = fields.value("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) refuse_field("logit_bias", "must be an object");
  if (!bias->empty()) refuse_field("logit_bias", "is not supported; leave it out or empty");
}

}  // namespace

CompletionRequest read_completion_request(const Json& body, const Limits& limits, std::uint32_t vocab) {
  Fields fields(body);
  CompletionRequest completion;
  completion.stream = fields.boolean("stream").value_or(false);
  completion.tokens_as_ids = fields.boolean("return_tokens_as_token_ids").value_or(false);
  GenerationRequest& settings = completion.settings;
  settings.max_tokens = static_cast<std::uint32_t>(fields.integer("max_tokens", 0, INT32_MAX).value_or(16));
  settings.echo = fields.boolean("echo").value_or(false);
  if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
    settings.logprobs = static_cast<std::uint32_t>(*logprobs);
  }
  settings.stop = read_stop(fields.value("stop"), limits);
  read_sampling(fields, settings);
  read_stream_options(fields, completion);
  refuse_what_is_not_there(fields);
  const Json* prompt = fields.value("prompt");
  fields.refuse_others();
  completion.prompts = read_prompts(prompt, vocab, limits);
  return completion;
}

std::vector<GenerationRequest> to_sequences(const CompletionRequest& completion, const std::string& id,
                                            const std::string& owner, const Limits& limits,
                                            Service& service) {
  std::vector<GenerationRequest> sequences;
  for (const Prompt& prompt : completion.prompts) {
    GenerationRequest sequence = completion.settings;
    sequence.owner = owner;
    sequence.id = id;
    if (completion.prompts.size() > 1) sequence.id.append("-").append(std::to_string(sequences.size()));
    const auto* text = std::get_if<std::string>(&prompt);
    sequence.prompt =
        text != nullptr ? service.tokenize(*text, true, true) : std::get<std::vector<std::int32_t>>(prompt);
    if (sequence.prompt.empty()) refuse_field("prompt", "has no tokens");
    if (sequence.prompt.size() > limits.prompt_tok) {
      refuse_field("prompt", "has " + std::to_string(sequence.prompt.size()) +
                                 " tokens, the limit prompt_tok is " + std::to_string(limits.prompt_tok));
    }
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

}  // namespace tandem::ipc
