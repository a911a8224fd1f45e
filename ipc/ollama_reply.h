#pragma once

#include <chrono>
#include <string>

#include "ipc/event_stream.h"
#include "ipc/generation_answer.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

/// RFC 3339 in UTC with microseconds: "2026-11-21T04:05:06.000007Z".
std::string rfc3339(std::chrono::system_clock::time_point time);

/// Which of the two routes an answer is of: they differ in where its text stands.
enum class OllamaKind { chat, generate };

/// "model" and "created_at", which every object of an answer begins with.
OrderedJson ollama_head(const std::string& model, std::chrono::system_clock::time_point time);

/// Adds what was said to `object`: "message", or "response" and "thinking"; and its "logprobs" if `scored`.
/// Text that is not there is an empty string, as in Ollama's own answers.  `first_call` calls came before.
void add_ollama_text(OrderedJson& object, OllamaKind kind, const TextDelta& said, bool scored,
                     std::size_t first_call = 0);

/// Adds "done": false.
void add_ollama_more(OrderedJson& object);

/// Adds "done": true, why, counts, and times in nanoseconds.
void add_ollama_end(OrderedJson& object, const Finished& finished);

}  // namespace tandem::ipc
