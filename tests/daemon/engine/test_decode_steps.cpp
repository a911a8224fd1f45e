// A thousand decode steps of the daemon's engine, from the scheduler to the text that a sink is given, on the
// CPU and on both devices: no thread of the process calls operator new meanwhile, nothing is allocated on the
// device, and the host waits for it only where rows or results cross.  The emulation's own work is left out.
// So is what a client's own thread does with the text.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "model/call_grammar.h"
#include "model/gbnf.h"
#include "model/grammar_matcher.h"
#include "model/ordered_json.h"
#include "model/token_trie.h"
#include "tests/daemon/engine/decode_window.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/allocations.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;
using test_support::Allocations;
using test_support::reference_path;

constexpr std::uint64_t kSteps = 1000;
constexpr std::uint64_t kLeftSteps = 30;  ///< that a sequence may be behind another
constexpr std::uint32_t kAlternatives = 20;

/// Requests of every sort that a step has to keep room for; none of them ends by itself.  Beyond three, one
/// is a call that goes on and on.
std::vector<EngineRequest> requests(const model::Tokenizer& tokenizer, std::size_t n, std::uint64_t steps) {
  std::vector<EngineRequest> all(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto& request = all[i];
    for (std::size_t t = 0; t < 5 + 3 * i; ++t)
      request.prompt.push_back(static_cast<TokenId>(30 + t * 7 + i * 11));
    request.max_new_tok = kWarmSteps + steps + kLeftSteps;
    request.sampling.seed = i;
    request.stop = {"never said", "nor this \xF0\x9F\x98\x80"};
    for (TokenId token = 0; static_cast<std::uint32_t>(token) < tokenizer.size(); ++token) {
      if (tokenizer.ends_generation(token)) request.sampling.logit_bias.emplace_back(token, -100.0F);
    }
  }
  all[0].sampling.temperature = 0;
  if (n < 2) return all;
  all[1].sampling.repetition_penalty = 1.2F;
  all[1].sampling.frequency_penalty = 0.1F;
  all[1].chat.emplace();
  if (n < 3) return all;
  all[2].sampling.top_k = 0;
  all[2].sampling.min_p = 0.01F;
  if (n < 4) return all;
  all[3].chat.emplace();
  all[3].chat->format = model::ChatTemplate::gemma4_r4;
  all[3].chat->start.call = "call:f{a:" + std::string(1'000'000, '1');
  for (const auto marker : {model::Marker::call_begin, model::Marker::call_end}) {
    const auto token = tokenizer.find(model::text_of(marker));
    if (token) all[3].sampling.logit_bias.emplace_back(*token, -100.0F);  // who reads a whole call allocates
  }
  return all;
}

/// The same, with the most alternatives that can be asked for of every token.
std::vector<EngineRequest> scored_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                           std::uint64_t steps) {
  auto all = requests(tokenizer, n, steps);
  for (auto& request : all) request.logprobs = kAlternatives;
  return all;
}

/// Masks with their vocabulary's trie.
struct Masks {
  Masks(const model::Tokenizer& tokenizer, const std::vector<model::GrammarRule>& rules,
        model::CallMarkup calls)
      : trie(tokenizer, calls), masks(std::make_shared<const model::Grammar>(rules, "root"), trie) {}

  model::TokenTrie trie;
  model::GrammarMasks masks;
};

Constraint constraint(const model::Tokenizer& tokenizer, const std::vector<model::GrammarRule>& rules,
                      model::CallMarkup calls = model::CallMarkup::left_out) {
  const auto masks = std::make_shared<Masks>(tokenizer, rules, calls);
  return {{masks, &masks->masks}, model::ThoughtFirst::no, {}};
}

/// The same, held to the grammar of an endless list.
std::vector<EngineRequest> held_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                         std::uint64_t steps) {
  auto all = requests(tokenizer, n, steps);
  const auto endless = constraint(tokenizer, model::read_gbnf(R"(
    root ::= "[" item ("," item)*
    item ::= "{\"n\":" "-"? [0-9]{1,5} ",\"s\":\"" [a-z]* "\"}"
  )"));
  for (auto& request : all) {
    request.chat.reset();
    request.sampling.top_k = 0;
    request.sampling.temperature = 1;
    request.constraint = endless;
  }
  return all;
}

/// The same, held to a grammar with more places than masks are worked out for ahead: what comes after each of
/// 26 letters has places of its own.
std::vector<EngineRequest> far_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                        std::uint64_t steps) {
  auto all = held_requests(tokenizer, n, steps);
  std::string gbnf = "root ::= item+\nitem ::= ";
  for (char begin = 'a'; begin <= 'z'; ++begin) {
    gbnf += std::string(begin == 'a' ? "" : " | ") + '"' + begin + "\" [a-z]{700} \".\"";
  }
  for (auto& request : all) request.constraint = constraint(tokenizer, model::read_gbnf(gbnf));
  return all;
}

constexpr const char* kEnds = "ends";  ///< the name of requests that end by themselves

/// The same, of which all but the first end while steps are counted: of their length, at a stop string and at
/// the end of a grammar's text.
std::vector<EngineRequest> ending_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                           std::uint64_t steps) {
  auto all = requests(tokenizer, n, steps);
  for (std::size_t i = 1; i < n; ++i) {
    auto& request = all[i];
    request.name = kEnds;
    if (i == 1) {
      request.max_new_tok = kWarmSteps + steps / 2;
      continue;
    }
    request.chat.reset();
    request.sampling.logit_bias.clear();
    request.constraint = constraint(tokenizer, model::read_gbnf("root ::= [a-z]{400} \".\""));
    if (i == 2) request.stop = {"."};
  }
  return all;
}

/// Two, of which the second is a call that becomes whole.
std::vector<EngineRequest> calling_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                            std::uint64_t steps) {
  auto all = requests(tokenizer, n, steps);
  auto& request = all.at(1);
  request.name = kEnds;
  request.sampling.logit_bias.clear();
  request.chat->format = model::ChatTemplate::gemma4_r4;
  request.chat->ends_after_call = true;
  OrderedJson parameters = {{"type", "object"}};
  for (const char key : {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}) {
    parameters["properties"][std::string(1, key)] = {
        {"type", "string"}, {"minLength", 64}, {"maxLength", 64}};
    parameters["required"].push_back(std::string(1, key));
  }
  const std::vector<model::CallableTool> tools{{"f", parameters, true}};
  request.constraint = constraint(
      tokenizer, model::call_grammar(tools, {.must_call = true, .several_calls = false, .content = {}}),
      model::CallMarkup::as_bytes);
  return all;
}

constexpr std::size_t kLongText = 1'000'000;

/// Two, of which the second might be a call, and turns out to be a long text that is none.
std::vector<EngineRequest> rambling_requests(const model::Tokenizer& tokenizer, std::size_t n,
                                             std::uint64_t steps) {
  auto all = requests(tokenizer, n, steps);
  auto& request = all.at(1);
  request.name = kEnds;
  request.sampling.logit_bias.clear();
  request.chat->format = model::ChatTemplate::gemma4_r4;
  request.chat->start.call = "call:f{a:" + std::string(kLongText, '1');
  const auto end = std::string(model::text_of(model::Marker::call_end));
  const auto gbnf = "root ::= [a-z]{400} \"" + end + "\" [a-z]{100} \".\"";
  request.constraint = constraint(tokenizer, model::read_gbnf(gbnf), model::CallMarkup::as_bytes);
  return all;
}

using MakeRequests = std::vector<EngineRequest> (*)(const model::Tokenizer&, std::size_t, std::uint64_t);

planner::Workload workload_of(std::uint32_t sequences) {
  planner::Workload workload;
  workload.max_seq_len = kWarmSteps + kSteps + kLeftSteps + 30;
  workload.sequences = sequences;
  workload.micro_batch = 24;
  return workload;
}

/// Serves that many sequences at once until the window has passed; says what the device did meanwhile.
cuda::emulation::Counts serve(Served& served, std::uint32_t sequences, cuda::Device::State* device,
                              std::uint64_t steps = kSteps, Client* client = nullptr,
                              MakeRequests make_requests = &requests) {
  auto all = make_requests(served.tokenizer(), sequences, steps);
  const auto is_endless = [](const EngineRequest& request) { return request.name != kEnds; };
  const auto endless = static_cast<std::uint64_t>(std::ranges::count_if(all, is_endless));
  Window window(endless, steps, device);
  std::vector<std::shared_ptr<WindowSink>> sinks;
  const auto all_ids = std::make_shared<std::vector<RequestId>>();  // a client may look after the end
  auto& ids = *all_ids;
  for (auto& request : all) {
    const auto lasts = is_endless(request) ? Lasts::on_and_on : Lasts::part_of_it;
    std::shared_ptr<Sink> to;
    const auto resume = [&served, all_ids, i = ids.size()] { served.engine().resume((*all_ids)[i]); };
    if (client != nullptr) to = client->sink(served.tokenizer(), request, resume);
    sinks.push_back(std::make_shared<WindowSink>(window, lasts, std::move(to)));
    ids.push_back(served.engine().submit(std::move(request), sinks.back()));
  }
  for (const auto& sink : sinks) sink->wait_begun();
  window.open();
  for (const auto id : ids) served.engine().resume(id);
  for (const auto& sink : sinks) EXPECT_NE(sink->wait(), FinishReason::error);
  EXPECT_TRUE(window.passed());
  EXPECT_EQ(window.ends(), sequences - endless);
  return window.on_device();
}

TEST(DecodeSteps, OnTheCpuAllocateNothing) {
  for (const auto* const file : {"gemma3_4l.gguf", "gemma4_4l.gguf"}) {
    Served served(reference_path(file), workload_of(4));
    for (const auto make_requests : {&requests, &scored_requests, &held_requests, &ending_requests}) {
      serve(served, 4, nullptr, kSteps, nullptr, make_requests);
      EXPECT_EQ(Allocations::count(), 0U) << file << "\n" << Allocations::first();
    }
  }
}

TEST(DecodeSteps, InWhichMasksAreMadeAllocateNothing) {
  Served served(reference_path("gemma4_4l.gguf"), workload_of(2));
  serve(served, 2, nullptr, kSteps, nullptr, &far_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
}

using Letters = char (*)(int);  ///< what an answer says, by the number of the token

/// Takes tokens `first` to `end` of an answer.
void take(model::GrammarMatcher& matcher, const std::map<char, TokenId>& tokens, Letters letters, int first,
          int end) {
  for (int i = first; i < end; ++i) {
    const auto token = tokens.at(letters(i));
    const auto* const at_once = matcher.allowed_at_once(20);
    ASSERT_TRUE(at_once == nullptr || at_once->contains(token)) << i;
    ASSERT_TRUE(matcher.allowed().contains(token)) << i;
    ASSERT_TRUE(matcher.accept(token)) << i;
  }
}

/// What an answer of that many tokens allocates after its first hundred.
std::uint64_t allocations_of(const std::string& gbnf, int n, Letters letters) {
  const auto tokenizer = model::Tokenizer::from_header(model::read_header(reference_path("gemma4_4l.gguf")));
  std::map<char, TokenId> tokens;
  for (TokenId token = 0; static_cast<std::uint32_t>(token) < tokenizer->size(); ++token) {
    const auto bytes = tokenizer->token_bytes(token);
    if (bytes.size() == 1) tokens.emplace(bytes.front(), token);
  }
  const auto masks = std::make_shared<Masks>(*tokenizer, model::read_gbnf(gbnf), model::CallMarkup::left_out);
  model::GrammarMatcher matcher({masks, &masks->masks});
  constexpr int kFirst = 100;
  take(matcher, tokens, letters, 0, kFirst);
  Allocations::start([]() noexcept { return false; });
  take(matcher, tokens, letters, kFirst, n);
  Allocations::stop();
  return Allocations::count();
}

TEST(DecodeSteps, InWhichGrammarsBeginAnewAllocateNothing) {
  // Ever deeper: a state for each token, of which 8,192 are kept.
  EXPECT_EQ(allocations_of("root ::= \"(\" root \")\" | \"x\"", 20'000, [](int) { return '('; }), 0U)
      << Allocations::first();
  // More places within a rule than masks are kept for.
  EXPECT_EQ(allocations_of("root ::= [a-z]{10000} [a-z]{10000}", 19'000,
                           [](int i) { return static_cast<char>('a' + i % 26); }),
            0U)
      << Allocations::first();
  // Three hundred places at once, other ones after each token.
  EXPECT_EQ(allocations_of("root ::= \"(\" root \")\" | [(]{1,300} \"x\"", 5'000, [](int) { return '('; }),
            0U)
      << Allocations::first();
}

TEST(DecodeSteps, ForClientsAllocateNothing) {
  constexpr std::uint32_t kSequences = 3;
  Served served(reference_path("gemma4_4l.gguf"), workload_of(kSequences));
  for (const auto reads : {Reads::at_once, Reads::when_full}) {
    Client client(reads);
    serve(served, kSequences, nullptr, kSteps, &client);
    EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
    EXPECT_EQ(client.tokens(), kSequences * (kWarmSteps + kSteps + kLeftSteps));
    EXPECT_EQ(client.alternatives(), 0U);
    EXPECT_LE(client.most_unread(), ipc::kMostQueuedEvents + 1) << "with the end";
    Client of_scores(reads);
    serve(served, kSequences, nullptr, kSteps, &of_scores, &scored_requests);
    EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
    EXPECT_EQ(of_scores.alternatives(), kAlternatives * of_scores.tokens());
  }
}

TEST(DecodeSteps, InWhichSequencesOfClientsEndAllocateNothing) {
  Served served(reference_path("gemma4_4l.gguf"), workload_of(4));
  Client client;
  serve(served, 4, nullptr, kSteps, &client, &ending_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
}

TEST(DecodeSteps, InWhichCallsBecomeWholeAllocateNothing) {
  Served served(reference_path("gemma4_4l.gguf"), workload_of(2));
  serve(served, 2, nullptr, kSteps, nullptr, &calling_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  Client client;
  serve(served, 2, nullptr, kSteps, &client, &calling_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  EXPECT_EQ(client.calls(), 1U);
}

TEST(DecodeSteps, InWhichALongTextTurnsOutToBeNoCallAllocateNothing) {
  Served served(reference_path("gemma4_4l.gguf"), workload_of(2));
  serve(served, 2, nullptr, kSteps, nullptr, &rambling_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  Client client;
  serve(served, 2, nullptr, kSteps, &client, &rambling_requests);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  EXPECT_EQ(client.calls(), 0U);
  EXPECT_GT(client.text_bytes(), kLongText);
}

TEST(DecodeSteps, OnBothDevicesAllocateNothing) {
  auto header = model::read_header(reference_path("gemma4_1l_global.gguf"));
  auto placement = planner::Placement::all_on(Device::cpu, 1);
  placement.move({planner::UnitKind::ffn, 0}, Device::emulated0);
  auto emulated = cuda::emulation::make_device({.seed = 3});
  auto* const device = &emulated.state();
  Served served(std::move(header), workload_of(2), placement, cuda::make_accelerator(std::move(emulated)));
  const auto did = serve(served, 2, device);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  EXPECT_EQ(did.allocations, 0U);
  EXPECT_EQ(did.captures, 0U);
}

TEST(DecodeSteps, OnADeviceAreOneGraphEachAndOneDescriptor) {
  auto emulated = cuda::emulation::make_device({.seed = 4});
  auto* const device = &emulated.state();
  auto header = model::read_header(reference_path("gemma4_1l_sliding.gguf"));
  const auto layers = model::read_hyperparameters(header).layers.size();
  Served served(std::move(header), workload_of(1), planner::Placement::all_on(Device::emulated0, layers),
                cuda::make_accelerator(std::move(emulated)));
  const auto graphs = served.bound().plan().arena_bytes(Device::emulated0, planner::Purpose::graphs);
  const auto graph_bytes = served.bound().accelerator()->graph_bytes();
  EXPECT_GT(graph_bytes, graphs / 2);
  EXPECT_LE(graph_bytes, graphs);
  constexpr std::uint64_t kFewSteps = 100;  // the emulation takes its time
  const auto did = serve(served, 1, device, kFewSteps);
  EXPECT_EQ(Allocations::count(), 0U) << Allocations::first();
  EXPECT_EQ(did.allocations, 0U);
  EXPECT_EQ(did.captures, 0U);
  EXPECT_EQ(did.graph_launches, kFewSteps);
  // Before the descriptor is written, and for what was computed.
  EXPECT_EQ(did.synchronisations, 2 * kFewSteps);
  // Rows and pages of the descriptor, the token, the wanted row and edits to the device; embedding, the first
  // norm, the head's norm, product and cap; two fills and kernels of the reduction; candidates to the host.
  EXPECT_LE(did.operations, 15 * kFewSteps);
  EXPECT_EQ(served.bound().accelerator()->graph_bytes(), graph_bytes);
}

TEST(Allocations, AreCountedOnEveryThread) {
  Allocations::start([]() noexcept { return false; });
  const auto made = std::make_unique<int>(1);
  std::thread([] { const std::vector<int> some(100); }).join();
  Allocations::stop();
  EXPECT_GE(Allocations::count(), 3U);
  Allocations::start([]() noexcept { return true; });
  const auto exempt = std::make_unique<int>(*made);
  Allocations::stop();
  EXPECT_EQ(Allocations::count(), 0U);
}

}  // namespace
}  // namespace tandem::engine
