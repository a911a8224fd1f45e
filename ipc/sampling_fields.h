#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

// Readers of request members that several dialects share.  All throw RequestError 400 naming the member.

/// A number of a request as the sampler takes it; nothing for nothing.
std::optional<float> as_float(std::optional<double> value);

/// temperature, top_k, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty and seed.
void read_sampling(Fields& fields, GenerationRequest& settings);

/// A string or an array of strings; `name` is the member's in messages.  Nothing for nullptr.
std::vector<std::string> read_stop(const Json* stop, const std::string& name, const Limits& limits);

/// "logit_bias": an object from token ids, in decimal, to -100 .. 100.  Nothing for nullptr.
std::vector<LogitBias> read_logit_bias(const Json* bias, std::uint32_t vocab);

/// stream_options.include_usage; refused without `stream`.
bool read_include_usage(Fields& fields, bool stream);

/// "grammar" (GBNF) or "json_schema" (a schema), as llama-server's clients send them; not both.
AnswerFormat read_grammar_fields(Fields& fields);

/// The most answers to one prompt.
inline constexpr std::int64_t kMaxChoices = 64;

/// Adds `request` `choices` times, with consecutive seeds where it has one.
void add_choices(const GenerationRequest& request, std::size_t choices, std::vector<GenerationRequest>& to);

/// Names the sequences of a request: `id`, or `id`-0, `id`-1 ... where there are several.
void name_sequences(std::vector<GenerationRequest>& sequences, const std::string& id);

}  // namespace tandem::ipc
