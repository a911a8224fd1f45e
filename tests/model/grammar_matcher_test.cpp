#include "model/grammar_matcher.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/gbnf.h"
#include "model/utf8.h"

namespace tandem::model {
namespace {

/// Decides by trying everything whether a text begins, or is, something the grammar makes.
class SlowGrammar {
 public:
  explicit SlowGrammar(const std::vector<GrammarRule>& rules) {
    for (const auto& rule : rules) rules_[rule.name] = &rule.body;
  }

  bool begins(std::string_view text) const { return matches(text, true); }
  bool makes(std::string_view text) const { return matches(text, false); }

 private:
  using Then = std::function<bool(std::size_t)>;

  bool matches(std::string_view text, bool prefix) const {
    return match(*rules_.at("root"), text, 0, prefix, [&](std::size_t at) { return at == text.size(); });
  }

  bool match(const Expression& e, std::string_view text, std::size_t at, bool prefix,
             const Then& then) const {
    switch (e.kind) {
      case Expression::Kind::text: {
        const auto rest = text.substr(at);
        if (prefix && rest.size() < e.text.size() && e.text.starts_with(rest)) return true;
        return rest.starts_with(e.text) && then(at + e.text.size());
      }
      case Expression::Kind::characters:
        return match_character(e, text, at, prefix, then);
      case Expression::Kind::sequence:
        return match_parts(e.parts, 0, text, at, prefix, then);
      case Expression::Kind::choice:
        for (const auto& part : e.parts) {
          if (match(part, text, at, prefix, then)) return true;
        }
        return false;
      case Expression::Kind::repeat:
        return match_repeat(e, 0, text, at, prefix, then);
      case Expression::Kind::rule:
        return match(*rules_.at(e.text), text, at, prefix, then);
    }
    return false;
  }

  static bool match_character(const Expression& e, std::string_view text, std::size_t at, bool prefix,
                              const Then& then) {
    const auto rest = text.substr(at);
    if (prefix && rest.empty()) return true;
    if (rest.empty()) return false;
    const auto front = utf8_front(rest);
    if (prefix && front.state == Utf8State::cut_off) return may_become(e, rest);
    if (front.state != Utf8State::whole) return false;
    const auto code = decode_utf8(rest.substr(0, front.bytes));
    for (const auto& range : e.ranges) {
      if (code >= range.first && code <= range.last) return then(at + front.bytes);
    }
    return false;
  }

  /// Whether the first bytes of a character, at least two bytes long, may be those of one of the set.
  static bool may_become(const Expression& e, std::string_view bytes) {
    const std::size_t length =
        static_cast<std::uint8_t>(bytes[0]) < 0xE0 ? 2 : 3;  // longer ones are not used here
    auto first = std::string(bytes);
    auto last = first;
    first.resize(length, '\x80');
    last.resize(length, '\xBF');
    for (const auto& range : e.ranges) {
      if (decode_utf8(first) <= range.last && decode_utf8(last) >= range.first) return true;
    }
    return false;
  }

  bool match_parts(const std::vector<Expression>& parts, std::size_t index, std::string_view text,
                   std::size_t at, bool prefix, const Then& then) const {
    if (index == parts.size()) return then(at);
    return match(parts[index], text, at, prefix,
                 [&](std::size_t after) { return match_parts(parts, index + 1, text, after, prefix, then); });
  }

  bool match_repeat(const Expression& e, std::uint32_t done, std::string_view text, std::size_t at,
                    bool prefix, const Then& then) const {
    if (done >= e.min && then(at)) return true;
    if (done == e.max) return false;
    return match(e.parts[0], text, at, prefix, [&](std::size_t after) {
      if (after == at && done >= e.min) return false;
      return match_repeat(e, done + 1, text, after, prefix, then);
    });
  }

  std::map<std::string, const Expression*> rules_;
};

/// A vocabulary of the given texts, an end token after them.
struct Tokens {
  explicit Tokens(std::vector<std::string> all)
      : texts(std::move(all)), end(static_cast<TokenId>(texts.size())), trie(views(), {end}) {}

  std::vector<std::string_view> views() {
    std::vector<std::string_view> all(texts.begin(), texts.end());
    all.emplace_back();
    return all;
  }

  std::vector<std::string> texts;
  TokenId end;
  TokenTrie trie;
};

/// Every byte that the grammars below use, and what is likely to cross the borders of their rules.
Tokens mixed_tokens(std::uint32_t seed) {
  const std::string alphabet = "ab{}[]\",: 01-.e\n";
  std::mt19937 random(seed);
  std::vector<std::string> texts;
  for (const char c : alphabet) texts.emplace_back(1, c);
  for (const auto* text : {"\xC3", "\xA9", "é",  "aé", "\xE2\x82", "\xAC\"", "€",     "\"}", "\",\"", "\":",
                           "{}",   "[]",   "]]", "}}", "true",     "a\"",    "ab\",", " \"", ": ",    ", "}) {
    texts.emplace_back(text);
  }
  for (int i = 0; i < 60; ++i) {
    std::string text;
    for (auto left = 2 + random() % 4; left > 0; --left) text += alphabet[random() % alphabet.size()];
    texts.push_back(text);
  }
  return Tokens(std::move(texts));
}

std::shared_ptr<GrammarMasks> compile(const std::string& gbnf, const Tokens& tokens,
                                      std::shared_ptr<MaskStore> store = std::make_shared<MaskStore>()) {
  return std::make_shared<GrammarMasks>(std::make_shared<const Grammar>(read_gbnf(gbnf), "root"), tokens.trie,
                                        std::move(store));
}

const std::vector<std::string>& grammars() {
  static const std::vector<std::string> kGrammars = {
      R"(root ::= "ab" | "a" "ba"*)",
      R"(root ::= [ab]{2,4} "e"?)",
      R"(root ::= ("a" | "ab" | "b")+)",
      R"(root ::= [^a]* "a")",
      R"(root ::= "é" . [a-é€])",
      R"(root ::= "{" root? "}" | "[" (root ",")* "]")",
      "root ::= s (\",\" s)*\ns ::= \"\\\"\" [^\"]* \"\\\"\"",
      "root ::= a b\na ::= \"a\"* w\nb ::= w \"b\"*\nw ::= \" \"*",
      "root ::= l\nl ::= \"a\" l \"b\" | m\nm ::= \"\" | n m\nn ::= [01]{1,3} \"-\"",
      "root ::= [ab] root [ab] | [01] root? [01] | \"a\"",
      R"(root ::= v
v ::= o | l | s | n | "true"
o ::= "{" w (p ("," w p)*)? "}" w
p ::= s ":" w v
l ::= "[" w (v ("," w v)*)? "]" w
s ::= "\"" c* "\"" w
c ::= [^"\\\x00-\x1F]
n ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? w
w ::= (" " | "\n")?)"};
  return kGrammars;
}

TEST(GrammarMatcher, AllowsWhatTryingEverythingAllows) {
  for (std::size_t g = 0; g < grammars().size(); ++g) {
    const auto rules = read_gbnf(grammars()[g]);
    const SlowGrammar slow(rules);
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
      const auto tokens = mixed_tokens(seed);
      std::mt19937 random(seed);
      GrammarMatcher matcher(compile(grammars()[g], tokens));
      std::string text;
      for (int step = 0; step < 12; ++step) {
        std::vector<TokenId> choices;
        const auto& allowed = matcher.allowed();
        for (TokenId id = 0; id < tokens.end; ++id) {
          const auto longer = text + tokens.texts[static_cast<std::size_t>(id)];
          ASSERT_EQ(allowed.contains(id), slow.begins(longer)) << grammars()[g] << "\n>" << longer << "<";
          if (allowed.contains(id)) choices.push_back(id);
        }
        ASSERT_EQ(allowed.contains(tokens.end), slow.makes(text)) << grammars()[g] << "\n>" << text << "<";
        ASSERT_EQ(matcher.may_end(), slow.makes(text));
        if (choices.empty()) break;
        const auto choice = choices[random() % choices.size()];
        ASSERT_TRUE(matcher.accept(choice));
        text += tokens.texts[static_cast<std::size_t>(choice)];
      }
    }
  }
}

/// A store in which nothing, little or all finds room makes no difference but in bytes.
TEST(GrammarMatcher, AllowsTheSameWhereMasksAreDropped) {
  std::size_t dropped = 0;
  for (const std::size_t max_bytes : {0, 700, 3000}) {
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
      const auto tokens = mixed_tokens(seed);
      const auto small = std::make_shared<MaskStore>(max_bytes);
      const auto large = std::make_shared<MaskStore>();
      std::deque<GrammarMatcher>
          bounded;  // of all grammars, taking turns, so that they take room from each other
      std::deque<GrammarMatcher> free;
      for (const auto& gbnf : grammars()) {
        bounded.emplace_back(compile(gbnf, tokens, small));
        free.emplace_back(compile(gbnf, tokens, large));
      }
      std::mt19937 random(seed);
      for (int step = 0; step < 12; ++step) {
        for (std::size_t g = 0; g < grammars().size(); ++g) {
          std::vector<TokenId> choices;
          const auto& allowed = bounded[g].allowed();
          ASSERT_TRUE(std::ranges::equal(allowed.words(), free[g].allowed().words())) << grammars()[g];
          ASSERT_LE(small->bytes(), max_bytes);
          for (TokenId id = 0; id < tokens.end; ++id) {
            if (allowed.contains(id)) choices.push_back(id);
          }
          if (choices.empty()) continue;
          const auto choice = choices[random() % choices.size()];
          ASSERT_TRUE(bounded[g].accept(choice));
          ASSERT_TRUE(free[g].accept(choice));
        }
      }
      if (large->bytes() > small->bytes()) ++dropped;
    }
  }
  EXPECT_EQ(dropped, 12U) << "without the bound there would be more";
}

/// What takes more steps than there are is not said, and what is said is all.
TEST(GrammarMatcher, SaysAtOnceAllOrNothing) {
  std::map<bool, int> said;
  for (const std::uint64_t most_steps : {0, 10, 40, 160, 640}) {
    for (const auto& gbnf : grammars()) {
      const auto tokens = mixed_tokens(7);
      const auto nothing_kept = std::make_shared<MaskStore>(0);
      GrammarMatcher hasty(compile(gbnf, tokens, nothing_kept));
      GrammarMatcher patient(compile(gbnf, tokens));
      std::mt19937 random(7);
      for (int step = 0; step < 40; ++step) {
        const auto& allowed = patient.allowed();
        const auto* const at_once = hasty.allowed_at_once(most_steps);
        ++said[at_once != nullptr];
        const auto& later = at_once == nullptr ? hasty.allowed() : *at_once;
        ASSERT_TRUE(std::ranges::equal(later.words(), allowed.words())) << gbnf << " " << most_steps;
        ASSERT_NE(hasty.allowed_at_once(0), nullptr) << "what was found is known";
        std::vector<TokenId> choices;
        for (TokenId id = 0; id < tokens.end; ++id) {
          if (allowed.contains(id)) choices.push_back(id);
        }
        if (choices.empty()) break;
        const auto choice = choices[random() % choices.size()];
        ASSERT_TRUE(hasty.accept(choice));
        ASSERT_TRUE(patient.accept(choice));
      }
    }
  }
  EXPECT_GT(said[true], 100);
  EXPECT_GT(said[false], 100);
}

TEST(GrammarMatcher, TakesNothingThatIsNotAllowed) {
  const Tokens tokens({"a", "b", "ab", "ba", ""});
  GrammarMatcher matcher(compile(R"(root ::= "ab")", tokens));
  EXPECT_FALSE(matcher.accept(1));
  EXPECT_FALSE(matcher.accept(3));
  EXPECT_FALSE(matcher.accept(4));  // has no bytes
  EXPECT_FALSE(matcher.accept(tokens.end));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(1000));
  EXPECT_TRUE(matcher.accept(0));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_TRUE(matcher.accept(tokens.end));
  EXPECT_FALSE(matcher.accept(tokens.end));
}

TEST(GrammarMatcher, EndlessAnswersStayCheap) {
  const Tokens tokens({"[", "]", "[[", "a", ","});
  GrammarMatcher matcher(compile("root ::= \"[\" (root (\",\" root)*)? \"]\"", tokens));
  for (int i = 0; i < 20'000; ++i) {  // far beyond what is kept of states
    ASSERT_TRUE(matcher.allowed().contains(2));
    ASSERT_TRUE(matcher.accept(0));
  }
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_FALSE(matcher.may_end());
    ASSERT_TRUE(matcher.allowed().contains(1));
    ASSERT_TRUE(matcher.accept(1));
  }
  EXPECT_TRUE(matcher.may_end());
  EXPECT_FALSE(matcher.allowed().contains(1));
}

TEST(GrammarMatcher, TellsWhenAGrammarIsInTooManyPlaces) {
  const Tokens tokens({"a"});
  GrammarMatcher matcher(compile("root ::= s\ns ::= \"a\" s s | \"a\" s \"b\" | \"a\"", tokens));
  const auto run = [&] {
    for (int i = 0; i < 100'000; ++i) {
      matcher.allowed();
      matcher.accept(0);
    }
  };
  EXPECT_THROW(run(), GrammarError);
}

/// Rules r0 to r`count`, each of which is `body` with the name after its own in the place of N; the last is
/// `last`.
std::string rule_chain(int count, const std::string& body, const std::string& last) {
  std::string text = "root ::= r0 \"!\"\n";
  for (int i = 0; i < count; ++i) {
    std::string rule = body;
    for (auto at = rule.find('N'); at != std::string::npos; at = rule.find('N')) {
      rule.replace(at, 1, "r" + std::to_string(i + 1));
    }
    text += "r" + std::to_string(i) + " ::= " + rule + "\n";
  }
  return text + "r" + std::to_string(count) + " ::= " + last + "\n";
}

/// There are 2 to the power of 60 and more ways through these; none is followed to its end.
TEST(GrammarMatcher, RefusesWhatCanBeComeToInTooManyWays) {
  const Tokens tokens({"a"});
  for (const char* last : {"\"a\"?", "\"\""}) {
    EXPECT_THROW(compile(rule_chain(60, "N N", last), tokens), GrammarError) << last;
  }
  EXPECT_THROW(compile(rule_chain(300, "N | N \"x\"", "\"a\""), tokens), GrammarError);
}

/// The texts of 1 to `most` letters a to h.
std::vector<std::string> words(std::size_t most) {
  std::vector<std::string> all = {""};
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() == most) continue;
    for (char c = 'a'; c <= 'h'; ++c) all.push_back(all[i] + c);
  }
  all.erase(all.begin());
  return all;
}

/// Which pairs of letters came is another place for nearly every word: to say which of 37,448 fit would hold
/// up everybody.
TEST(GrammarMatcher, RefusesWhatTakesTooLongToSay) {
  std::string pairs;
  for (const auto& pair : words(2)) {
    if (pair.size() < 2) continue;
    for (const auto* const end : {"1", "2", "3"}) {
      pairs += std::string(pairs.empty() ? "" : " | ") + "[a-h]* \"" + pair + "\" [a-h]* \"" + end + '"';
    }
  }
  EXPECT_NO_THROW(compile("root ::= " + pairs, Tokens(words(3))));
  EXPECT_THROW(compile("root ::= " + pairs, Tokens(words(5))), GrammarError);
}

/// After each text of a and b is another state: to say which of 131,070 fit would take too much to keep.
TEST(GrammarMatcher, RefusesWhatTakesTooMuchMemoryToSay) {
  const auto texts = [](std::size_t most) {
    std::vector<std::string> all = {""};
    for (std::size_t i = 0; all[i].size() < most; ++i) {
      for (const char c : {'a', 'b'}) all.push_back(all[i] + c);
    }
    all.erase(all.begin());
    return all;
  };
  const std::string gbnf = R"(root ::= "a" root "1" | "b" root "2" | "x")";
  EXPECT_NO_THROW(compile(gbnf, Tokens(texts(8))));
  EXPECT_THAT([&] { compile(gbnf, Tokens(texts(16))); },
              testing::ThrowsMessage<GrammarError>(testing::HasSubstr("67108864 bytes")));
}

/// Deep within each other are many places to go on at, but what may come is found in one walk.
TEST(GrammarMatcher, SaysWhatFitsInAnyOfManyRulesAtOnce) {
  const Tokens tokens(words(5));
  GrammarMatcher matcher(compile("root ::= [a-h] root [a-h] | [a-h]", tokens));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(matcher.allowed().contains(tokens.end - 1)) << i;
    ASSERT_TRUE(matcher.accept(tokens.end - 1)) << i;
  }
}

TEST(GrammarMatcher, RulesMayBeWithinEachOtherNotTooDeep) {
  const Tokens tokens({"a", "!"});
  std::string groups;
  for (int i = 0; i < 60; ++i) groups += "(\"a\" ";
  const std::string ends(60, ')');
  for (const std::string body : {"N", "\"a\"* N", "N \"a\"*"}) {
    EXPECT_NO_THROW(compile(rule_chain(200, body, "\"a\""), tokens)) << body;
    EXPECT_THROW(compile(rule_chain(9000, body, "\"a\""), tokens), GrammarError) << body;
    EXPECT_THROW(compile(rule_chain(600, groups + body + ends, "\"a\""), tokens), GrammarError) << body;
  }
}

/// What a rule makes is known only once it is known of the one before, which comes after it: every pass over
/// all of them tells of one more.
TEST(GrammarMatcher, RefusesLoopsThatGoBackAndForthForLong) {
  const Tokens tokens({"a"});
  const auto back_and_forth = [](int count) {
    std::string text = "root ::= r0\nr0 ::= \"a\" (r1 | \"a\")\n";
    for (int i = 1; i <= count; ++i) {
      text += "r" + std::to_string(i) + " ::= \"a\" (r" + std::to_string(std::min(i + 1, count)) + " | r" +
              std::to_string(i - 1) + ")\n";
    }
    return text;
  };
  EXPECT_NO_THROW(compile(back_and_forth(100), tokens));
  EXPECT_THAT([&] { compile(back_and_forth(2000), tokens); },
              testing::ThrowsMessage<GrammarError>(testing::HasSubstr("loops")));
}

TEST(GrammarMatcher, RefusesToRepeatNothingForEver) {
  const Tokens tokens({"a"});
  EXPECT_THROW(compile("root ::= (((\"\"{10000}){10000}){10000}){10000} \"a\"", tokens), GrammarError);
}

}  // namespace
}  // namespace tandem::model
