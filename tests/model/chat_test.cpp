#include "model/chat.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/ordered_json.h"
#include "tests/model/conversations.h"

namespace tandem::model {
namespace {

using test_support::Conversation;
using test_support::load_conversations;
using test_support::load_renders;

/// The text, or "error".
std::string rendered(ChatTemplate format, const Conversation& conversation) {
  try {
    return text_of(render_chat(format, conversation.messages, conversation.options).pieces);
  } catch (const ChatError&) {
    return "error";
  }
}

std::string render_one(ChatTemplate format, const std::vector<ChatMessage>& messages,
                       const ChatOptions& options = {}) {
  return text_of(render_chat(format, messages, options).pieces);
}

ChatMessage user(std::string text) {
  return {Role::user, std::move(text), {}, {}, {}, {}};
}

TEST(Chat, ThereAreEnoughConversationsAboutEverything) {
  std::map<std::string, int> about;
  const auto conversations = load_conversations();
  for (const auto& conversation : conversations) {
    for (const auto& topic : conversation.about) ++about[topic];
  }
  EXPECT_GE(conversations.size(), 60U);
  for (const auto* topic : {"system", "multi-turn", "consecutive roles", "tool declarations", "calls",
                            "results", "thinking", "odd whitespace"}) {
    EXPECT_GE(about[topic], 4) << topic;
  }
}

TEST(Chat, RendersAsPublishedTemplatesDo) {
  const auto conversations = load_conversations();
  for (const auto& published : load_renders()) {
    const std::string hash = published.at("sha256_without_newlines_at_end");
    const auto format = find_template(hash);
    ASSERT_TRUE(format) << hash;
    for (const auto& conversation : conversations) {
      const auto& expected = published.at("renders").at(conversation.name);
      const bool refused = expected.contains("error") ||
                           (*format == ChatTemplate::gemma3 && conversation.needs_tools_or_thinking());
      EXPECT_EQ(rendered(*format, conversation), refused ? "error" : expected.at("text").get<std::string>())
          << hash << ": " << conversation.name;
    }
  }
}

TEST(Chat, EveryRevisionHasBeenCompared) {
  std::vector<std::optional<ChatTemplate>> compared;
  for (const auto& published : load_renders()) {
    compared.push_back(find_template(published.at("sha256_without_newlines_at_end").get<std::string>()));
  }
  EXPECT_THAT(compared, testing::UnorderedElementsAre(ChatTemplate::gemma3, ChatTemplate::gemma4_r2,
                                                      ChatTemplate::gemma4_r3, ChatTemplate::gemma4_r4,
                                                      ChatTemplate::gemma4_r4));
}

TEST(Chat, RefusesAConversationWithoutMessages) {
  EXPECT_THROW(render_one(ChatTemplate::gemma3, {}), ChatError);
  EXPECT_THROW(render_one(ChatTemplate::gemma4_r4, {}), ChatError);
}

TEST(Chat, SaysWhichMessageIsWrong) {
  try {
    render_one(ChatTemplate::gemma3, {user("a"), user("b")});
    FAIL() << "no error";
  } catch (const ChatError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("message 2 (user)"));
    EXPECT_THAT(error.hint(), testing::HasSubstr("Merge"));
  }
}

TEST(Chat, RefusesWhatIsNestedTooDeep) {
  OrderedJson deep = OrderedJson::object();
  for (int i = 0; i < 1'000; ++i) deep = {{"properties", std::move(deep)}, {"type", "object"}};
  ChatOptions options;
  options.tools.push_back({{{"name", "f"}, {"parameters", deep}}});
  EXPECT_THROW(render_one(ChatTemplate::gemma4_r4, {user("a")}, options), ChatError);
  ChatMessage call{Role::assistant, {}, {}, {{{}, "f", deep}}, {}, {}};
  EXPECT_THROW(render_one(ChatTemplate::gemma4_r4, {user("a"), call}), ChatError);
}

TEST(Chat, SaysWhetherTheAnswerBeginsInsideAThought) {
  const ChatMessage call{Role::assistant, {}, {}, {{"1", "f", {}}}, {}, {}};
  const ChatMessage result{Role::tool, "ok", {}, {}, "1", {}};
  const std::vector<ChatMessage> messages = {user("a"), call, result};
  ChatOptions options;
  options.thinking = true;
  const auto prompt = render_chat(ChatTemplate::gemma4_r4, messages, options);
  EXPECT_EQ(prompt.answer, (AnswerStart{true, {}}));
  EXPECT_TRUE(text_of(prompt.pieces).ends_with("<|channel>thought\n"));
  EXPECT_EQ(render_chat(ChatTemplate::gemma4_r3, messages, options).answer, AnswerStart{});
  EXPECT_EQ(render_chat(ChatTemplate::gemma4_r4, messages, {}).answer, AnswerStart{});
}

TEST(Chat, BeginsACallWhereTheAnswerIsToBeOne) {
  ChatOptions options;
  options.tools = {{{{"name", "f"}}}, {{{"name", "g"}}}};
  const std::vector<ChatMessage> messages = {user("a")};
  const auto plain = text_of(render_chat(ChatTemplate::gemma4_r4, messages, options).pieces);

  options.forced_call = "g";
  const auto named = render_chat(ChatTemplate::gemma4_r4, messages, options);
  EXPECT_EQ(text_of(named.pieces), plain + "<|tool_call>call:g{");
  EXPECT_EQ(named.answer, (AnswerStart{false, "call:g{"}));

  options.forced_call = "";
  const auto any = render_chat(ChatTemplate::gemma4_r4, messages, options);
  EXPECT_EQ(text_of(any.pieces), plain + "<|tool_call>call:");
  EXPECT_EQ(any.answer, (AnswerStart{false, "call:"}));

  options.thinking = true;
  EXPECT_TRUE(text_of(render_chat(ChatTemplate::gemma4_r4, messages, options).pieces)
                  .ends_with("<|turn>model\n<|tool_call>call:"));

  options.forced_call = "h";
  EXPECT_THROW(render_chat(ChatTemplate::gemma4_r4, messages, options), ChatError);
  options.tools.clear();
  options.forced_call = "";
  EXPECT_THROW(render_chat(ChatTemplate::gemma4_r4, messages, options), ChatError);
  EXPECT_THROW(render_chat(ChatTemplate::gemma3, messages, options), ChatError);
}

TEST(Chat, ControlPiecesAreTokensOfTheFormatAndNothingElse) {
  for (const auto& conversation : load_conversations()) {
    std::vector<ChatPiece> pieces;
    try {
      pieces = render_chat(ChatTemplate::gemma4_r4, conversation.messages, conversation.options).pieces;
    } catch (const ChatError&) {
      continue;
    }
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      EXPECT_FALSE(pieces[i].text.empty()) << conversation.name;
      if (pieces[i].kind == PieceKind::plain) {
        EXPECT_TRUE(i == 0 || pieces[i - 1].kind == PieceKind::control) << conversation.name;
        continue;
      }
      EXPECT_THAT(pieces[i].text,
                  testing::AnyOf("<bos>", "<|turn>", "<turn|>", "<|tool>", "<tool|>", "<|tool_call>",
                                 "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>",
                                 "<|think|>", "<|channel>", "<channel|>"));
    }
  }
}

}  // namespace
}  // namespace tandem::model
