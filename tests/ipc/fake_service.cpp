#include "tests/ipc/fake_service.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tandem::ipc::testing {

namespace {

constexpr std::int32_t kEos = 1;
constexpr std::int32_t kBos = 2;
constexpr std::int32_t kFirstWord = 16;
constexpr std::int32_t kFirstByte = 256;
const std::array<std::string, 8> kWords{" The",   " quick",   " brown", " 狐",
                                        " jumps", " naïvely", " over",  " it.\n"};

std::int32_t word_id(std::size_t i) {
  return kFirstWord + static_cast<std::int32_t>(i % kWords.size());
}

TokenLogprob logprob(std::size_t word, float value) {
  return {word_id(word), kWords[word % kWords.size()], value};
}

constexpr std::size_t kThoughtTok = 2;

struct FakeRules final : AnswerRules {
  bool thinks = false;
  std::string calls;  ///< the tool to call, empty for none
};

const FakeRules* rules_of(const GenerationRequest& request) {
  return dynamic_cast<const FakeRules*>(request.rules.get());
}

std::string text_of(const ChatMessage::Content& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return *text;
  std::string joined;
  if (const auto* parts = std::get_if<std::vector<std::string>>(&content)) {
    for (const std::string& part : *parts) joined += part;
  }
  return joined;
}

}  // namespace

std::string FakeService::thought() {
  return "hm hm ";
}

std::string FakeService::answer(std::size_t tokens) {
  std::string text;
  for (std::size_t i = 0; i < tokens; ++i) text += kWords[i % kWords.size()];
  return text;
}

FakeService::FakeService(const FakeOptions& options) : options_(options) {
  health_.version = "fake";
  card_.id = "fake/words-1B";
  card_.created_unix_s = 1'700'000'000;
  card_.context_tok = options_.context_tok;
  card_.vocab = kVocab;
  card_.noise = true;
  card_.chat = "gemma4";
  card_.tools = true;
  card_.thinking = true;
  worker_ = std::thread([this] { work(); });
}

FakeService::~FakeService() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void FakeService::submit(GenerationRequest request, std::shared_ptr<EventStream> stream) {
  const std::lock_guard lock(mutex_);
  if (request.prompt.size() > options_.context_tok) {
    throw RequestError(400, "invalid_request_error",
                       "prompt has " + std::to_string(request.prompt.size()) + " tokens, the context " +
                           std::to_string(options_.context_tok),
                       "prompt", "context_length_exceeded");
  }
  if (sequences_.size() - running() >= options_.max_queued) {
    throw RequestError(503, "server_error", "the queue is full", {}, "queue_full");
  }
  submitted_.push_back(request);
  auto sequence = std::make_shared<Sequence>();
  sequence->request = std::move(request);
  sequence->stream = std::move(stream);
  sequence->stream->on_drain([this] {
    {
      const std::lock_guard inner(mutex_);
      stirred_ = true;
    }
    changed_.notify_all();
  });
  sequences_.push_back(std::move(sequence));
  stirred_ = true;
  changed_.notify_all();
}

bool FakeService::cancel(std::string_view id) {
  const std::lock_guard lock(mutex_);
  for (const auto& sequence : sequences_) {
    if (sequence->request.id != id || sequence->cancelled) continue;
    sequence->cancelled = true;
    ++cancelled_;
    stirred_ = true;
    changed_.notify_all();
    return true;
  }
  return false;
}

void FakeService::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return stirred_ || stopping_; });
    stirred_ = false;
    bool moved = false;
    const auto round = sequences_;
    for (const auto& sequence : round) {
      lock.unlock();  // pushes wake readers, who may call back
      if (step(*sequence)) moved = true;
      lock.lock();
    }
    sequences_.remove_if([](const auto& sequence) { return sequence->state == "done"; });
    if (moved) stirred_ = true;
    if (moved && options_.token_time.count() > 0) {
      changed_.wait_for(lock, options_.token_time, [this] { return stopping_; });
    }
  }
  const auto rest = std::exchange(sequences_, {});
  lock.unlock();
  for (const auto& sequence : rest) finish(*sequence, FinishReason::cancelled);
}

std::size_t FakeService::running() const {
  return static_cast<std::size_t>(std::count_if(sequences_.begin(), sequences_.end(), [](const auto& one) {
    return one->state == "prompt" || one->state == "decode";
  }));
}

bool FakeService::step(Sequence& sequence) {
  std::string state;
  {
    const std::lock_guard lock(mutex_);
    if (sequence.cancelled) {
      state = "cancelled";
    } else if (sequence.state == held_) {
      return false;
    } else {
      state = sequence.state;
      if (state == "queued" && running() >= options_.slots) return false;
      if (state == "queued") sequence.state = "prompt";
    }
  }
  if (state == "queued") return true;
  if (state == "cancelled") finish(sequence, FinishReason::cancelled);
  if (state == "prompt") return advance_prompt(sequence);
  if (state == "decode") return advance_decode(sequence);
  return true;
}

bool FakeService::advance_prompt(Sequence& sequence) {
  const std::uint64_t total = sequence.request.prompt.size();
  const std::uint64_t done = std::min(total, sequence.prompt_done_tok + options_.prompt_chunk_tok);
  sequence.stream->push(PromptProgress{done, total});
  if (done == total && sequence.request.echo) push_echo(sequence);
  const std::lock_guard lock(mutex_);
  sequence.prompt_done_tok = done;
  if (done == total) sequence.state = "decode";
  return true;
}

bool FakeService::advance_decode(Sequence& sequence) {
  const GenerationRequest& request = sequence.request;
  if (sequence.new_tok >= std::min<std::uint64_t>(request.max_tokens, options_.answer_tok)) {
    finish(sequence, FinishReason::length);
    return true;
  }
  if (!sequence.stream->has_room()) return false;
  TextDelta delta = next_delta(sequence);
  const bool called = !delta.calls.empty();
  const bool stopped = std::find(request.stop.begin(), request.stop.end(), delta.text) != request.stop.end();
  if (stopped) sequence.stop_string = std::exchange(delta.text, {});
  sequence.stream->push(std::move(delta));
  std::string error;
  {
    const std::lock_guard lock(mutex_);
    ++sequence.new_tok;
    ++sampled_tok_;
    error = error_;
  }
  if (called) finish(sequence, FinishReason::tool_calls);
  if (stopped) finish(sequence, FinishReason::stop);
  if (!error.empty()) finish(sequence, FinishReason::error, error);
  return true;
}

TextDelta FakeService::next_delta(const Sequence& sequence) const {
  const FakeRules* rules = rules_of(sequence.request);
  std::size_t i = sequence.new_tok;
  TextDelta delta{"", {word_id(i)}, {}};
  if (rules != nullptr && rules->thinks) {
    if (i < kThoughtTok) {
      delta.reasoning = thought().substr(0, thought().size() / kThoughtTok);
      return delta;
    }
    i -= kThoughtTok;
  }
  if (rules != nullptr && !rules->calls.empty()) {
    delta.calls.push_back({rules->calls, R"({"x":1})"});
    return delta;
  }
  delta.text = kWords[i % kWords.size()];
  delta.tokens = {word_id(i)};
  if (const auto n = sequence.request.logprobs) {
    ScoredToken score{logprob(i, -0.25f), true, true, {}};
    for (std::uint32_t k = 0; k < *n; ++k)
      score.top.push_back(logprob(i + k, -0.25f - static_cast<float>(k)));
    delta.scores.push_back(std::move(score));
  }
  return delta;
}

void FakeService::push_echo(Sequence& sequence) {
  TextDelta delta{detokenize(sequence.request.prompt), sequence.request.prompt, {}};
  if (sequence.request.logprobs) {
    for (const std::int32_t id : sequence.request.prompt) {
      const bool first = delta.scores.empty();
      const std::string text = id == kBos ? "<bos>" : detokenize({id});
      delta.scores.push_back({{id, text, first ? 0.0f : -1.0f}, !first, id != kBos, {}});
    }
  }
  sequence.stream->push(std::move(delta));
}

void FakeService::finish(Sequence& sequence, FinishReason reason, const std::string& error) {
  Finished finished{reason, {}, error};
  finished.stop_string = sequence.stop_string;
  finished.usage.prompt_tok = sequence.request.prompt.size();
  finished.usage.completion_tok = sequence.new_tok;
  finished.usage.queue_us = 10;
  finished.usage.prompt_us = 2000;
  finished.usage.decode_us = 1000 * sequence.new_tok;
  finished.usage.decode_gb_per_s = 12.5;
  const FakeRules* rules = rules_of(sequence.request);
  if (rules != nullptr && rules->thinks) {
    finished.usage.reasoning_tok = std::min<std::uint64_t>(sequence.new_tok, kThoughtTok);
  }
  sequence.stream->push(std::move(finished));
  const std::lock_guard lock(mutex_);
  sequence.state = "done";
}

std::vector<std::int32_t> FakeService::tokenize(std::string_view text, bool add_special, bool parse_special) {
  {
    std::unique_lock lock(mutex_);
    ++tokenizing_;
    ++tokenize_calls_;
    changed_.wait(lock, [this] { return held_ != "tokenize" || stopping_; });
    --tokenizing_;
  }
  std::vector<std::int32_t> ids;
  if (add_special) ids.push_back(kBos);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (parse_special && text.substr(i, 5) == "<eos>") {
      ids.push_back(kEos);
      i += 4;
      continue;
    }
    ids.push_back(kFirstByte + static_cast<unsigned char>(text[i]));
  }
  return ids;
}

std::string FakeService::detokenize(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= static_cast<std::int32_t>(kVocab)) {
      throw RequestError(400, "invalid_request_error", "token id " + std::to_string(id) + " is out of range",
                         "tokens");
    }
    if (id >= kFirstByte) text += static_cast<char>(id - kFirstByte);
    const auto word = static_cast<std::size_t>(id - kFirstWord);
    if (id >= kFirstWord && word < kWords.size()) text += kWords[word];
  }
  return text;
}

ModelCard FakeService::model() {
  const std::lock_guard lock(mutex_);
  return card_;
}

void FakeService::set_model(const ModelCard& card) {
  const std::lock_guard lock(mutex_);
  card_ = card;
}

PreparedChat FakeService::prepare_chat(const ChatRequest& chat) {
  std::string text;
  for (const ChatMessage& message : chat.messages) text += text_of(message.content);
  if (text == "refuse") throw RequestError(400, "invalid_request_error", "it says refuse", "messages");
  auto rules = std::make_shared<FakeRules>();
  rules->thinks = chat.thinking == Thinking::on;
  const bool required = chat.tool_choice.mode == ToolChoice::Mode::required;
  if (required) rules->calls = chat.tools.at(0).name;
  if (chat.tool_choice.mode == ToolChoice::Mode::named) rules->calls = chat.tool_choice.name;
  {
    const std::lock_guard lock(mutex_);
    chats_.push_back(chat);
  }
  return {tokenize(text, true, false), std::move(rules)};
}

std::shared_ptr<const AnswerRules> FakeService::prepare_format(const AnswerFormat& format) {
  const std::lock_guard lock(mutex_);
  formats_.push_back(format);
  if (format.grammar == "refuse") {
    throw RequestError(400, "invalid_request_error", "'grammar' says refuse", format.field);
  }
  return nullptr;
}

Health FakeService::health() {
  const std::lock_guard lock(mutex_);
  return health_;
}

std::string FakeService::plan_json() {
  return R"({"plan":{"schema":"tandem.plan/1","totals":{"vram_bytes":3,"ram_bytes":5}},"ledger":[]})";
}

std::string FakeService::metrics_text() {
  return "# TYPE tandem_requests_total counter\ntandem_requests_total " + std::to_string(submitted().size()) +
         "\n";
}

/// A Gemma of 48 layers on two devices.
OrderedJson FakeService::status() {
  const auto line = [](const char* purpose, std::uint64_t bytes, std::uint64_t high_water_bytes) {
    return OrderedJson{{"purpose", purpose},
                       {"planned_bytes", bytes},
                       {"allocated_bytes", bytes},
                       {"used_bytes", bytes},
                       {"high_water_bytes", high_water_bytes}};
  };
  const auto all = requests();
  const auto queued = static_cast<std::size_t>(
      std::ranges::count(all, std::string("queued"), [](const RequestInfo& one) { return one.state; }));
  OrderedJson layers = OrderedJson::array();
  for (std::size_t i = 0; i < 48; ++i) {
    layers.push_back({{"index", i},
                      {"kind", i % 6 == 5 ? "global" : "sliding"},
                      {"attention", i < 4 ? "cpu" : "cuda0"},
                      {"ffn", i < 14 ? "cpu" : "cuda0"},
                      {"ffn_gpu_rows", i == 14 ? 256 : 0},
                      {"kv_bytes", i % 6 == 5 ? 8'000'000 : 1'000'000},
                      {"weight_bytes", 50'000'000}});
  }
  return {
      {"devices",
       {{{"device", "cuda0"},
         {"budget_bytes", 400'000'000},
         {"planned_bytes", 300'000'000},
         {"purposes", {line("weights", 250'000'000, 250'000'000), line("kv", 50'000'000, 20'000'000)}}},
        {{"device", "cpu"},
         {"budget_bytes", 1'000'000'000},
         {"planned_bytes", 100'000'000},
         {"purposes", {line("weights", 90'000'000, 90'000'000), line("head", 10'000'000, 10'000'000)}}}}},
      {"layers", std::move(layers)},
      {"head", {{"device", "cpu"}, {"type", "Q6_K"}, {"bytes", 10'000'000}}},
      {"predicted", {{"decode_tok_per_s", 50.0}, {"prefill_tok_per_s", 500.0}}},
      {"rates", {{"generated_tok_per_s", 12.5}, {"prompt_tok_per_s", 125.0}, {"gb_per_s", 37.5}}},
      {"sequences", {{"queued", queued}, {"running", all.size() - queued}, {"slots", options_.slots}}},
      {"kv_pages", {{"free", 60}, {"total", 64}}},
      {"totals", {{"requests", submitted().size()}, {"prompt_tok", 0}, {"generated_tok", sampled_tok()}}}};
}

std::vector<RequestInfo> FakeService::requests() {
  const std::lock_guard lock(mutex_);
  std::vector<RequestInfo> list;
  for (const auto& sequence : sequences_) {
    if (sequence->state == "done") continue;
    const GenerationRequest& request = sequence->request;
    list.push_back({request.id, request.owner, sequence->state, request.prompt.size(),
                    sequence->prompt_done_tok, sequence->new_tok, request.max_tokens, 1'500'000});
  }
  return list;
}

void FakeService::hold(std::optional<std::string> state) {
  const std::lock_guard lock(mutex_);
  held_ = std::move(state);
  stirred_ = true;
  changed_.notify_all();
}

void FakeService::fail_with(std::string error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
}

void FakeService::set_health(const Health& health) {
  const std::lock_guard lock(mutex_);
  health_ = health;
}

std::vector<GenerationRequest> FakeService::submitted() const {
  const std::lock_guard lock(mutex_);
  return submitted_;
}

std::vector<ChatRequest> FakeService::chats() const {
  const std::lock_guard lock(mutex_);
  return chats_;
}

std::vector<AnswerFormat> FakeService::formats() const {
  const std::lock_guard lock(mutex_);
  return formats_;
}

std::uint64_t FakeService::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

std::size_t FakeService::unfinished() const {
  const std::lock_guard lock(mutex_);
  return sequences_.size();
}

std::size_t FakeService::tokenizing() const {
  const std::lock_guard lock(mutex_);
  return tokenizing_;
}

std::size_t FakeService::tokenize_calls() const {
  const std::lock_guard lock(mutex_);
  return tokenize_calls_;
}

std::uint64_t FakeService::sampled_tok() const {
  const std::lock_guard lock(mutex_);
  return sampled_tok_;
}

}  // namespace tandem::ipc::testing
