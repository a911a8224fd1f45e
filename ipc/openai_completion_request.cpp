#include "ipc/openai_completion_request.h"

#include <utility>

#include "ipc/sampling_fields.h"

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
  check_prompt_tok("prompt", ids.size(), limits);
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

/// How many answers a prompt gets.
void read_choices(Fields& fields, CompletionRequest& completion) {
  completion.n = static_cast<std::size_t>(fields.integer("n", 1, kMaxChoices).value_or(1));
  const auto best_of = fields.integer("best_of", 1, kMaxChoices);
  completion.best_of = best_of ? static_cast<std::size_t>(*best_of) : completion.n;
  if (completion.best_of < completion.n) refuse_field("best_of", "must not be less than 'n'");
  if (completion.best_of == completion.n) return;
  if (completion.stream) refuse_field("best_of", "more than 'n' cannot be streamed");
  if (!completion.settings.logprobs) completion.settings.logprobs = 0;
}

/// Fields of the API that have no effect or one value here; clients that send that value are served.
void refuse_unsupported_completion_fields(Fields& fields) {
  fields.text("model");
  fields.text("user");
  if (fields.value("suffix") != nullptr) refuse_field("suffix", "is not supported; leave it out");
}

}  // namespace

CompletionRequest read_completion_request(const Json& body, const Limits& limits, std::uint32_t vocab) {
  Fields fields(body);
  CompletionRequest completion;
  completion.stream = fields.boolean("stream").value_or(false);
  if (fields.boolean("return_tokens_as_token_ids").value_or(false)) completion.names = TokenNames::ids;
  GenerationRequest& settings = completion.settings;
  settings.max_tokens = static_cast<std::uint32_t>(fields.integer("max_tokens", 0, INT32_MAX).value_or(16));
  settings.echo = fields.boolean("echo").value_or(false);
  if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
    settings.logprobs = static_cast<std::uint32_t>(*logprobs);
    completion.shows_logprobs = true;
  }
  settings.stop = read_stop(fields.value("stop"), "stop", limits);
  settings.logit_bias = read_logit_bias(fields.value("logit_bias"), vocab);
  read_sampling(fields, settings);
  read_choices(fields, completion);
  completion.include_usage = read_include_usage(fields, completion.stream);
  completion.format = read_grammar_fields(fields);
  refuse_unsupported_completion_fields(fields);
  const Json* prompt = fields.value("prompt");
  fields.refuse_others();
  completion.prompts = read_prompts(prompt, vocab, limits);
  if (completion.prompts.size() * completion.best_of > static_cast<std::size_t>(kMaxChoices)) {
    refuse_field(completion.n > 1 ? "n" : "prompt",
                 "makes more than " + std::to_string(kMaxChoices) + " answers together with the other");
  }
  return completion;
}

std::vector<GenerationRequest> to_sequences(const CompletionRequest& completion, const std::string& id,
                                            const std::string& owner, const Limits& limits,
                                            Service& service) {
  const auto rules = service.prepare_format(completion.format);
  std::vector<GenerationRequest> sequences;
  for (const Prompt& prompt : completion.prompts) {
    GenerationRequest sequence = completion.settings;
    sequence.owner = owner;
    sequence.rules = rules;
    const auto* text = std::get_if<std::string>(&prompt);
    sequence.prompt =
        text != nullptr ? service.prepare_prompt(*text) : std::get<std::vector<std::int32_t>>(prompt);
    if (sequence.prompt.empty()) refuse_field("prompt", "has no tokens");
    check_prompt_tok("prompt", sequence.prompt.size(), limits);
    add_choices(sequence, completion.best_of, sequences);
  }
  name_sequences(sequences, id);
  return sequences;
}

}  // namespace tandem::ipc
