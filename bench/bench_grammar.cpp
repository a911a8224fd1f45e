// What it costs to hold an answer to a grammar: building the token trie, setting up a grammar, and a mask for
// each token.  Answers are random: at every step one of the allowed tokens, long ones and ends less often.
// The same answers are written several times, each time from nothing: a token's work is the same then, and
// the least of its times is what it costs; the slowest single time has what interrupted it.
//
//   bench_grammar [VOCABULARY.gguf]     without a file: a made-up vocabulary of 262,144 tokens

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "model/gbnf.h"
#include "model/gguf.h"
#include "model/grammar_matcher.h"

namespace {

using namespace tandem::model;

constexpr std::size_t kVocabulary = 262'144;
constexpr int kAnswers = 20;
constexpr int kRounds = 5;
constexpr int kMostTokens = 400;

constexpr const char* kAnyJson = R"(
root ::= object
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}"
member ::= string ":" ws value
array ::= "[" ws (value ("," ws value)*)? "]"
string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws ::= (" " | "\n" [ \t]{0,20})?
)";

constexpr const char* kRecord = R"(
root ::= "{\"name\": " string ", \"age\": " [0-9]{1,3} ", \"tags\": [" (string (", " string)*)? "], \"note\": " string "}"
string ::= "\"" [^"\\\x00-\x1F]* "\""
)";

constexpr const char* kNote = R"(
root ::= "{\"note\": \"" ([^"\\\x00-\x1F] | "\\" ["\\/bfnrt]){0,1000} "\"}"
)";

constexpr const char* kProse = R"(
root ::= (line "\n")+
line ::= "- " word (" " word)* [.!?]
word ::= [a-zA-Z]+ [,;:]?
)";

/// Processor time of this thread: what others do on the machine does not count.
double now_us() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

/// 256 bytes and made-up words in the proportions of Gemma 4's vocabulary: half of them with a space before,
/// a quarter not of ASCII letters, one in 300 with punctuation inside or after.
std::vector<std::string> made_up_tokens() {
  const std::string punctuation = "\"'{}[]():,.;-_/\\!?=<>#*\n ";
  const std::vector<std::string> letters = {"é", "я", "п", "ा", "क", "的", "人", "ん"};
  std::mt19937 random(1);
  std::unordered_set<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace(1, static_cast<char>(byte));
  while (tokens.size() < kVocabulary) {
    const bool ascii = random() % 4 != 0;
    std::string word = random() % 2 == 0 ? " " : "";
    for (auto left = 1 + random() % 8; left > 0; --left) {
      word +=
          ascii ? std::string(1, static_cast<char>('a' + random() % 26)) : letters[random() % letters.size()];
    }
    if (random() % 300 == 0)
      word.insert(random() % 2 == 0 ? word.size() : 0, 1, punctuation[random() % punctuation.size()]);
    tokens.insert(word);
  }
  return {tokens.begin(), tokens.end()};
}

/// Of every token of all answers.
struct Times {
  std::vector<double> mask_us;
  std::vector<double> apply_us;  ///< to logits
  std::vector<double> both_us;
  std::vector<double> accept_us;
};

/// The least of each token's times.
std::vector<double> least(const std::vector<Times>& rounds, std::vector<double> Times::*what) {
  auto least_us = rounds[0].*what;
  for (const auto& round : rounds) {
    for (std::size_t i = 0; i < least_us.size(); ++i) least_us[i] = std::min(least_us[i], (round.*what)[i]);
  }
  return least_us;
}

/// Writes one answer; false if the limit on tokens cut it.
bool write_answer(GrammarMatcher& matcher, const TokenTrie& trie, std::mt19937& random, Times& times) {
  std::vector<TokenId> choices;
  std::vector<float> logits(trie.vocabulary_size());
  for (int i = 0; i < kMostTokens; ++i) {
    auto start = now_us();
    const auto& allowed = matcher.allowed();
    times.mask_us.push_back(now_us() - start);
    start = now_us();
    keep_only(allowed, logits);
    times.apply_us.push_back(now_us() - start);
    times.both_us.push_back(times.mask_us.back() + times.apply_us.back());
    choices.clear();
    for (TokenId id = 0; id < static_cast<TokenId>(trie.vocabulary_size()); ++id) {
      if (allowed.contains(id)) choices.push_back(id);
    }
    const auto token = choices[random() % choices.size()];
    start = now_us();
    matcher.accept(token);
    times.accept_us.push_back(now_us() - start);
    if (trie.bytes(token).empty()) return true;
  }
  return false;
}

void print(const char* what, const std::vector<Times>& rounds, std::vector<double> Times::*which) {
  auto us = least(rounds, which);
  double sum = 0;
  for (const auto each : us) sum += each;
  std::ranges::sort(us);
  double slowest_us = 0;
  for (const auto& round : rounds) slowest_us = std::max(slowest_us, std::ranges::max(round.*which));
  std::printf(
      "  %-13s %5zu, mean %6.2f us, median %6.2f, 99 %% below %6.2f, slowest %6.2f; slowest single time "
      "%6.2f\n",
      what, us.size(), sum / static_cast<double>(us.size()), us[us.size() / 2], us[us.size() * 99 / 100],
      us.back(), slowest_us);
}

/// Every answer, with masks that nobody has made yet.
Times write_answers(const std::shared_ptr<const Grammar>& grammar, const TokenTrie& trie, int answers) {
  const auto masks = std::make_shared<GrammarMasks>(grammar, trie);
  std::mt19937 random(7);
  Times times;
  for (int i = 0; i < answers; ++i) {
    GrammarMatcher matcher(masks);
    write_answer(matcher, trie, random, times);
  }
  return times;
}

void run(const char* name, const char* gbnf, const TokenTrie& trie, int answers = kAnswers) {
  const auto start = now_us();
  const auto grammar = std::make_shared<const Grammar>(read_gbnf(gbnf), "root");
  const GrammarMasks masks(grammar, trie);
  std::printf("%s: set up in %.1f ms; tokens, the least of %d times each:\n", name, (now_us() - start) / 1000,
              kRounds);
  std::vector<Times> rounds;
  for (int round = 0; round < kRounds; ++round) rounds.push_back(write_answers(grammar, trie, answers));
  print("mask made", rounds, &Times::mask_us);
  print("applied", rounds, &Times::apply_us);
  print("made, applied", rounds, &Times::both_us);
  print("accepted", rounds, &Times::accept_us);
}

void run_all(const TokenTrie& trie) {
  std::printf("%u tokens, %zu nodes in the trie\n", trie.vocabulary_size(), trie.nodes().size());
  run("any JSON object", kAnyJson, trie);
  run("record of four fields", kRecord, trie);
  run("string of at most 1000 characters", kNote, trie, 2);  // each of its masks takes long
  run("list of sentences", kProse, trie);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const auto tokenizer = Tokenizer::from_header(read_header(argv[1]));
    const auto start = now_us();
    const TokenTrie trie(*tokenizer);
    std::printf("trie built in %.1f ms\n", (now_us() - start) / 1000);
    run_all(trie);
    return 0;
  }
  auto tokens = made_up_tokens();
  tokens.back().clear();  // the end token
  const std::vector<std::string_view> bytes(tokens.begin(), tokens.end());
  const auto start = now_us();
  const TokenTrie trie(bytes, {static_cast<TokenId>(kVocabulary - 1)});
  std::printf("trie built in %.1f ms\n", (now_us() - start) / 1000);
  run_all(trie);
  return 0;
}
