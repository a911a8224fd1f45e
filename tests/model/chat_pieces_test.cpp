#include "model/chat_pieces.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "model/chat.h"
#include "tests/model/conversations.h"
#include "tests/support/fixture.h"
#include "tests/support/gguf_bytes.h"

namespace tandem::model {
namespace {

using test_support::Fixture;
using test_support::load_conversations;
using test_support::reference_path;

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& family) {
  return Tokenizer::from_header(read_header(reference_path(family + "_vocab.gguf")));
}

/// A tokenizer of these tokens and an unknown one.
std::unique_ptr<Tokenizer> tokenizer_of(const std::vector<std::string>& tokens) {
  std::string texts = test_support::gguf_string("<unk>");
  std::string types = test_support::le<std::int32_t>(2);
  std::string scores = test_support::le(0.0F);
  for (const auto& token : tokens) {
    texts += test_support::gguf_string(token);
    types += test_support::le<std::int32_t>(1);
    scores += test_support::le(0.0F);
  }
  test_support::GgufBytes file;
  file.keys = {test_support::key_string("tokenizer.ggml.model", "llama"),
               test_support::key_array("tokenizer.ggml.tokens", 8, tokens.size() + 1, texts),
               test_support::key_array("tokenizer.ggml.token_type", 5, tokens.size() + 1, types),
               test_support::key_array("tokenizer.ggml.scores", 6, tokens.size() + 1, scores)};
  const auto bytes = std::make_shared<const std::string>(file.bytes());
  return Tokenizer::from_header(parse_header("test", std::as_bytes(std::span(*bytes)), bytes));
}

/// The texts of all tokens that look like markup, whatever their type.
std::vector<std::string> markup_of(const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    const auto kind = tokenizer.kind(id);
    const bool special =
        kind == TokenKind::control || kind == TokenKind::unknown || kind == TokenKind::user_defined;
    const auto text = tokenizer.token_text(id);
    if (special && text.starts_with('<') && text.ends_with('>')) texts.emplace_back(text);
  }
  return texts;
}

bool spells_markup(const std::vector<ChatPiece>& pieces, const std::vector<std::string>& markup) {
  return std::ranges::any_of(pieces, [&](const ChatPiece& piece) {
    return piece.kind == PieceKind::plain && std::ranges::any_of(markup, [&](const std::string& token) {
             return piece.text.find(token) != std::string::npos;
           });
  });
}

/// What the tokens say: control pieces by their text, in order, everything else by its bytes.
std::string spelled(const std::vector<TokenId>& ids, const std::vector<ChatPiece>& pieces,
                    const Tokenizer& tokenizer) {
  auto next = pieces.begin();
  const auto find_control = [&] {
    next = std::find_if(next, pieces.end(), [](const auto& p) { return p.kind == PieceKind::control; });
  };
  find_control();
  std::string text;
  for (const auto id : ids) {
    if (next != pieces.end() && tokenizer.token_text(id) == next->text) {
      text += next->text;
      ++next;
      find_control();
    } else {
      text += tokenizer.token_bytes(id);
    }
  }
  return text;
}

std::vector<ChatPiece> prompt_of(ChatTemplate format, const std::string& system, const std::string& text) {
  const std::vector<ChatMessage> messages = {{Role::system, system, {}, {}, {}, {}},
                                             {Role::user, text, {}, {}, {}, {}},
                                             {Role::assistant, text, {}, {}, {}, {}},
                                             {Role::user, "next", {}, {}, {}, {}}};
  return render_chat(format, messages, {}).pieces;
}

TEST(ChatPieces, WriterJoinsPlainText) {
  PieceWriter out;
  out.plain("a");
  out.plain("");
  out.plain("b");
  out.control("<bos>");
  out.control("<bos>");
  out.plain("c");
  const auto pieces = out.take();
  const std::vector<ChatPiece> expected = {{PieceKind::plain, "ab"},
                                           {PieceKind::control, "<bos>"},
                                           {PieceKind::control, "<bos>"},
                                           {PieceKind::plain, "c"}};
  EXPECT_EQ(pieces, expected);
  EXPECT_EQ(text_of(pieces), "ab<bos><bos>c");
}

TEST(ChatPieces, ConversationsEncodeAsTheirWholeText) {
  const auto tokenizer = load_tokenizer("gemma4");
  const auto markup = markup_of(*tokenizer);
  std::size_t compared = 0;
  for (const auto& conversation : load_conversations()) {
    std::vector<ChatPiece> pieces;
    try {
      pieces = render_chat(ChatTemplate::gemma4_r4, conversation.messages, conversation.options).pieces;
    } catch (const ChatError&) {
      continue;
    }
    const auto ids = encode(pieces, *tokenizer);
    EXPECT_EQ(spelled(ids, pieces, *tokenizer), text_of(pieces)) << conversation.name;
    if (spells_markup(pieces, markup)) continue;
    EXPECT_EQ(ids, tokenizer->encode(text_of(pieces), SpecialText::parsed)) << conversation.name;
    ++compared;
  }
  EXPECT_GT(compared, 100U);
}

class ChatPiecesOfFamily : public testing::TestWithParam<std::pair<std::string, ChatTemplate>> {};

TEST_P(ChatPiecesOfFamily, AnyMessageEncodesAsTheWholeText) {
  const auto& [family, format] = GetParam();
  const auto tokenizer = load_tokenizer(family);
  const auto markup = markup_of(*tokenizer);
  const auto texts = Fixture::load(reference_path(family + "_tokenizer.fixture"));
  std::size_t compared = 0;
  for (std::size_t i = 0; i < texts.row_count("text"); ++i) {
    const std::string text(texts.text_row("text", i));
    const auto pieces = prompt_of(format, "\n\n  " + text, text);
    if (spells_markup(pieces, markup)) continue;
    ASSERT_EQ(encode(pieces, *tokenizer), tokenizer->encode(text_of(pieces), SpecialText::parsed)) << text;
    ++compared;
  }
  EXPECT_GT(compared, 1000U);
}

TEST_P(ChatPiecesOfFamily, NoMessageFormsAControlToken) {
  const auto& [family, format] = GetParam();
  const auto tokenizer = load_tokenizer(family);
  const auto harmless = encode(prompt_of(format, "a", "a"), *tokenizer);
  const auto markers_in = [&](const std::vector<TokenId>& ids) {
    std::vector<TokenId> markers;
    std::ranges::copy_if(ids, std::back_inserter(markers), [&](TokenId id) {
      const auto text = tokenizer->token_text(id);
      return tokenizer->kind(id) == TokenKind::control || text.starts_with("<|") || text.ends_with("|>");
    });
    return markers;
  };
  std::string all;
  for (const auto& token : markup_of(*tokenizer)) {
    all += token + token.substr(0, token.size() / 2);  // the half overlaps the one after
    for (const auto& text : {token, "x" + token + "y", token + token, "<" + token + ">", "<|" + token}) {
      const auto ids = encode(prompt_of(format, text, text), *tokenizer);
      EXPECT_EQ(markers_in(ids), markers_in(harmless)) << text;
    }
  }
  EXPECT_EQ(markers_in(encode(prompt_of(format, all, all), *tokenizer)), markers_in(harmless));
}

INSTANTIATE_TEST_SUITE_P(Families, ChatPiecesOfFamily,
                         testing::Values(std::pair("gemma3", ChatTemplate::gemma3),
                                         std::pair("gemma4", ChatTemplate::gemma4_r4)),
                         [](const auto& test) { return test.param.first; });

TEST(ChatPieces, RefusesAVocabularyWithoutTheToken) {
  const auto tokenizer = load_tokenizer("gemma3");
  const std::vector<ChatPiece> pieces = {{PieceKind::control, "<|turn>"}};
  EXPECT_THROW(encode(pieces, *tokenizer), ChatError);
}

TEST(ChatPieces, FamiliesAreToldByTheirTurnMarkers) {
  const auto gemma3 = load_tokenizer("gemma3");
  const auto gemma4 = load_tokenizer("gemma4");
  EXPECT_EQ(detect_chat_format(*gemma3, ""), (ChatFormat{ChatTemplate::gemma3, false}));
  EXPECT_EQ(detect_chat_format(*gemma4, "unknown"), (ChatFormat{ChatTemplate::gemma4_r4, false}));
  EXPECT_EQ(detect_chat_format(*tokenizer_of({"<eos>", "<bos>", "a"}), ""), std::nullopt);
  EXPECT_EQ(detect_chat_format(*tokenizer_of({"<eos>", "<bos>", "<|turn>"}), ""), std::nullopt);
}

}  // namespace
}  // namespace tandem::model
