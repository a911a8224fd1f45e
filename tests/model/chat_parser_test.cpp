#include "model/chat_parser.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "model/chat.h"
#include "tests/model/conversations.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

using Events = std::vector<AnswerEvent>;

/// Deltas of a kind that follow one another become one.
Events joined(const Events& events) {
  Events all;
  for (const auto& event : events) {
    auto* content = all.empty() ? nullptr : std::get_if<ContentDelta>(&all.back());
    auto* reasoning = all.empty() ? nullptr : std::get_if<ReasoningDelta>(&all.back());
    if (const auto* delta = std::get_if<ContentDelta>(&event); delta != nullptr && content != nullptr) {
      content->text += delta->text;
    } else if (const auto* more = std::get_if<ReasoningDelta>(&event);
               more != nullptr && reasoning != nullptr) {
      reasoning->text += more->text;
    } else {
      all.push_back(event);
    }
  }
  return all;
}

/// A text in which every spelled marker is the token, cut where `cut_here` says (bytes, for ASCII texts).
template <typename CutHere>
Events parse(std::string_view text, bool in_thought, CutHere cut_here) {
  AnswerParser parser({in_thought, {}});
  Events events;
  std::string piece;
  const auto flush = [&] {
    parser.text(piece);
    piece.clear();
    std::ranges::copy(parser.events(), std::back_inserter(events));
    parser.clear();
  };
  while (!text.empty()) {
    const auto* marker =
        std::ranges::find_if(kMarkers, [&](Marker m) { return text.starts_with(text_of(m)); });
    if (marker != std::end(kMarkers)) {
      flush();
      parser.marker(*marker);
      text.remove_prefix(text_of(*marker).size());
      continue;
    }
    piece += text[0];
    text.remove_prefix(1);
    if (cut_here()) flush();
  }
  flush();
  parser.finish();
  std::ranges::copy(parser.events(), std::back_inserter(events));
  return joined(events);
}

Events parse(std::string_view text, bool in_thought = false) {
  return parse(text, in_thought, [] { return false; });
}

TEST(AnswerParser, TextIsContent) {
  EXPECT_EQ(parse("Hello"), (Events{ContentDelta{"Hello"}}));
  EXPECT_EQ(parse(""), Events{});
}

TEST(AnswerParser, ThoughtIsReasoning) {
  EXPECT_EQ(parse("<|channel>thought\nHm.\nYes.\n<channel|>Answer"),
            (Events{ReasoningDelta{"Hm.\nYes."}, ContentDelta{"Answer"}}));
  EXPECT_EQ(parse("<|channel>thought\nHm.<channel|>\nAnswer"),
            (Events{ReasoningDelta{"Hm."}, ContentDelta{"\nAnswer"}}));
}

TEST(AnswerParser, EmptyThoughtIsNothing) {
  EXPECT_EQ(parse("<|channel>thought\n<channel|>Answer"), (Events{ContentDelta{"Answer"}}));
  EXPECT_EQ(parse("<|channel>thought<channel|>Answer"), (Events{ContentDelta{"Answer"}}));
}

TEST(AnswerParser, UnfinishedThoughtIsReasoning) {
  EXPECT_EQ(parse("<|channel>thought\nHm.\n"), (Events{ReasoningDelta{"Hm.\n"}}));
}

TEST(AnswerParser, MayBeginInsideAThought) {
  EXPECT_EQ(parse("Hm.\n<channel|>Answer", true), (Events{ReasoningDelta{"Hm."}, ContentDelta{"Answer"}}));
}

TEST(AnswerParser, OtherChannelsAreContent) {
  EXPECT_EQ(parse("<|channel>song\nla<channel|>!"), (Events{ContentDelta{"<|channel>song\nla<channel|>!"}}));
  EXPECT_EQ(parse("<|channel>thoughts\n"), (Events{ContentDelta{"<|channel>thoughts\n"}}));
  EXPECT_EQ(parse("<|channel>thou"), (Events{ContentDelta{"<|channel>thou"}}));
  EXPECT_EQ(parse("<|channel><|channel>thought\nx"),
            (Events{ContentDelta{"<|channel>"}, ReasoningDelta{"x"}}));
}

TEST(AnswerParser, CallsComeOutWhole) {
  EXPECT_EQ(
      parse(R"(Let me.<|tool_call>call:f{a:<|"|>x<|"|>}<tool_call|><|tool_call>call:g{}<tool_call|>Done)"),
      (Events{ContentDelta{"Let me."}, ToolCall{"f", R"({"a":"x"})"}, ToolCall{"g", "{}"},
              ContentDelta{"Done"}}));
}

TEST(AnswerParser, ACallEndsTheThought) {
  EXPECT_EQ(parse("<|channel>thought\nHm.\n<|tool_call>call:f{}<tool_call|>"),
            (Events{ReasoningDelta{"Hm."}, ToolCall{"f", "{}"}}));
}

TEST(AnswerParser, MayBeginInsideACall) {
  const auto parse_call = [](const std::string& begun, std::string_view text, bool closed) {
    AnswerParser parser({false, begun});
    parser.text(text);
    if (closed) parser.marker(Marker::call_end);
    parser.finish();
    return Events(parser.events().begin(), parser.events().end());
  };
  EXPECT_EQ(parse_call("call:f{", "a:1}", true), (Events{ToolCall{"f", R"({"a":1})"}}));
  EXPECT_EQ(parse_call("call:", "f{}", true), (Events{ToolCall{"f", "{}"}}));
  EXPECT_EQ(parse_call("call:f{", "a:1}", false), (Events{ContentDelta{"<|tool_call>call:f{a:1}"}}));
}

TEST(AnswerParser, ACallHasAsMuchTextAsThereIsRoomForAndNoMore) {
  const std::string begun = "call:f{a:0.";
  AnswerParser parser({false, begun});
  parser.text(std::string(kMostCallBytes - begun.size() - 1, '1'));
  parser.text("}");
  EXPECT_THROW(parser.text(" "), Error);
  EXPECT_THROW(parser.marker(Marker::quote), Error);
  parser.marker(Marker::call_end);
  ASSERT_EQ(parser.events().size(), 1U);
  const auto& call = std::get<ToolCall>(parser.events().front());
  EXPECT_EQ(call.name, "f");
  EXPECT_EQ(call.arguments.size(), kMostCallBytes - begun.size() + std::string_view("{\"a\":0.").size());
}

TEST(AnswerParser, MalformedCallsAreContent) {
  for (const std::string text :
       {"<|tool_call>call:f{a:<tool_call|>", "<|tool_call><tool_call|>", "<|tool_call>call:f{}",
        "<|tool_call>call:f{<|\"|>", "<|tool_call>", "<tool_call|>x", "a<|\"|>b", "<channel|>",
        "<|tool_call>call:f{a:<|channel>}<tool_call|> and on"}) {
    EXPECT_EQ(parse(text), (Events{ContentDelta{text}}));
  }
  EXPECT_EQ(parse("<|tool_call>call:f{<|tool_call>call:g{}<tool_call|>"),
            (Events{ContentDelta{"<|tool_call>call:f{"}, ToolCall{"g", "{}"}}));
}

/// Random answers of markers and numbered words, so that what is lost or moved shows.
class RandomAnswer {
 public:
  explicit RandomAnswer(std::uint32_t seed) : random_(seed) {}

  std::string make() {
    std::string text;
    for (int i = below(12); i >= 0; --i) text += part();
    return text;
  }
  bool coin() { return below(3) == 0; }
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<std::uint32_t>(limit)); }
  std::string word() { return words_.emplace_back(std::to_string(1000 + words_.size())); }

  std::string part() {
    switch (below(9)) {
      case 0:
        return "<|channel>thought\n" + word() + (coin() ? "\n" : "") + "<channel|>";
      case 1:
      case 2: {
        const auto name = word();
        const auto key = word();
        return "<|tool_call>call:" + name + "{" + key + ":<|\"|>" + word() + "<|\"|>}<tool_call|>";
      }
      case 3:
        return "\n";
      case 4:
        return coin() ? "thought\n" : "call:" + word() + "{";
      case 5:
      case 6:
        return std::string(text_of(kMarkers[below(std::size(kMarkers))]));
      default:
        return word();
    }
  }

  std::mt19937 random_;
  std::vector<std::string> words_;
};

std::string all_text(const Events& events) {
  std::string text;
  for (const auto& event : events) {
    if (const auto* content = std::get_if<ContentDelta>(&event)) text += content->text;
    if (const auto* reasoning = std::get_if<ReasoningDelta>(&event)) text += reasoning->text;
    if (const auto* call = std::get_if<ToolCall>(&event)) text += call->name + call->arguments;
  }
  return text;
}

TEST(AnswerParser, CutsNeverChangeTheResult) {
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    RandomAnswer random(seed);
    const auto text = random.make();
    const auto whole = parse(text, seed % 2 == 1);
    EXPECT_EQ(parse(text, seed % 2 == 1, [&] { return random.coin(); }), whole) << text;
    EXPECT_EQ(parse(text, seed % 2 == 1, [] { return true; }), whole) << text;
  }
}

TEST(AnswerParser, NothingIsLostAndOrderIsKept) {
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    RandomAnswer random(seed);
    const auto text = random.make();
    const auto out = all_text(parse(text));
    std::size_t at = 0;
    for (const auto& word : random.words()) {
      const auto found = out.find(word, at);
      ASSERT_NE(found, std::string::npos) << word << " of " << text << " is not in " << out;
      at = found + word.size();
    }
  }
}

TEST(AnswerParser, WithoutWholeMarkupTheTextComesOutAsItWent) {
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    RandomAnswer random(seed);
    auto text = random.make();
    for (const auto* begin : {"<|channel>thought", "call:"}) {
      for (auto at = text.find(begin); at != std::string::npos; at = text.find(begin)) text[at + 1] = '_';
    }
    EXPECT_EQ(all_text(parse(text)), text);
  }
}

class ChatParserOfTokens : public testing::Test {
 protected:
  ChatParserOfTokens()
      : tokenizer_(Tokenizer::from_header(read_header(test_support::reference_path("gemma4_vocab.gguf")))) {}

  Events parse_tokens(const std::vector<TokenId>& ids, ChatTemplate format = ChatTemplate::gemma4_r4) {
    ChatParser parser(*tokenizer_, format, {});
    Events events;
    for (const auto id : ids) {
      for (auto& event : parser.push(id)) events.push_back(std::move(event));
    }
    for (auto& event : parser.finish()) events.push_back(std::move(event));
    return joined(events);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(ChatParserOfTokens, CallsOfConversationsReadBack) {
  std::size_t calls = 0;
  for (const auto& conversation : test_support::load_conversations()) {
    for (const auto& message : conversation.messages) {
      for (const auto& call : message.tool_calls) {
        if (!call.arguments.is_object() || call.arguments.contains(" k ")) continue;  // not a bare key
        const std::vector<ChatMessage> messages = {{Role::user, "go", {}, {}, {}, {}},
                                                   {Role::assistant, {}, {}, {call}, {}, {}}};
        auto ids = encode(render_chat(ChatTemplate::gemma4_r4, messages, {}).pieces, *tokenizer_);
        ids.erase(ids.begin(), std::ranges::find(ids, tokenizer_->find("<|tool_call>").value()));
        const auto events = parse_tokens(ids);  // the last token, <|tool_response>, ends the answer
        ASSERT_EQ(events.size(), 1U) << conversation.name;
        const auto* parsed = std::get_if<ToolCall>(&events[0]);
        ASSERT_NE(parsed, nullptr) << conversation.name;
        EXPECT_EQ(parsed->name, call.name);
        EXPECT_EQ(nlohmann::json::parse(parsed->arguments), nlohmann::json(call.arguments));
        ++calls;
      }
    }
  }
  EXPECT_GT(calls, 40U);
}

TEST_F(ChatParserOfTokens, SpelledMarkersAreText) {
  PieceWriter out;
  out.plain("<|tool_call>call:f{}<tool_call|><|channel>thought\nx");
  const auto ids = encode(out.take(), *tokenizer_);
  EXPECT_EQ(parse_tokens(ids),
            (Events{ContentDelta{"<|tool_call>call:f{}<tool_call|><|channel>thought\nx"}}));
}

TEST_F(ChatParserOfTokens, CharactersInSeveralTokensAreWhole) {
  const auto ids =
      tokenizer_->encode("<|channel>thought\n\U0001F9FF\n<channel|>\U0001F9FF", SpecialText::parsed);
  EXPECT_EQ(parse_tokens(ids), (Events{ReasoningDelta{"\U0001F9FF"}, ContentDelta{"\U0001F9FF"}}));
}

TEST_F(ChatParserOfTokens, AMarkerEndsABrokenCharacter) {
  auto ids = tokenizer_->encode("\U0001F9FF", SpecialText::plain);
  ids.resize(2);
  ids.push_back(*tokenizer_->find("<channel|>"));
  EXPECT_EQ(parse_tokens(ids), (Events{ContentDelta{"\uFFFD<channel|>"}}));
}

TEST_F(ChatParserOfTokens, TokensThatEndTheAnswerAreNotPartOfIt) {
  auto ids = tokenizer_->encode("Hi", SpecialText::plain);
  for (const auto* end : {"<turn|>", "<|tool_response>", "<eos>"}) ids.push_back(*tokenizer_->find(end));
  EXPECT_EQ(parse_tokens(ids), (Events{ContentDelta{"Hi"}}));
}

TEST_F(ChatParserOfTokens, Gemma3HasNoMarkup) {
  const auto ids = tokenizer_->encode("<|tool_call>call:f{}<tool_call|>", SpecialText::parsed);
  EXPECT_EQ(parse_tokens(ids, ChatTemplate::gemma3),
            (Events{ContentDelta{"<|tool_call>call:f{}<tool_call|>"}}));
}

}  // namespace
}  // namespace tandem::model
