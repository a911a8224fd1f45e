#include "model/answer_constraint.h"

#include <gtest/gtest.h>

#include "model/gbnf.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

class AnswerConstraintTest : public testing::Test {
 protected:
  AnswerConstraintTest()
      : tokenizer_(Tokenizer::from_header(read_header(test_support::reference_path("gemma4_vocab.gguf")))),
        trie_(*tokenizer_),
        masks_(std::make_shared<GrammarMasks>(
            std::make_shared<const Grammar>(read_gbnf("root ::= \"[\" [0-9]* \"]\""), "root"), trie_)) {}

  TokenId id(const char* text) const { return tokenizer_->find(text).value(); }

  /// Takes the texts, one token each, which must be allowed.
  void take(AnswerConstraint& constraint, const std::vector<const char*>& texts) const {
    for (const auto* text : texts) {
      EXPECT_TRUE(constraint.allowed().contains(id(text))) << text;
      EXPECT_TRUE(constraint.accept(id(text))) << text;
    }
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  TokenTrie trie_;
  std::shared_ptr<GrammarMasks> masks_;
};

TEST_F(AnswerConstraintTest, ContentIsHeldToTheGrammar) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::no);
  for (const auto* text : {"<|channel>", "<channel|>", "1", "<turn|>"}) {
    EXPECT_FALSE(constraint.allowed().contains(id(text))) << text;
    EXPECT_FALSE(constraint.accept(id(text))) << text;
  }
  take(constraint, {"[", "1", "]", "<turn|>"});
}

TEST_F(AnswerConstraintTest, AThoughtMayComeFirst) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::maybe);
  take(constraint, {"<|channel>", "a", "[", "<|channel>"});
  for (const auto* text : {"<turn|>", "<eos>", "<|tool_response>"}) {
    EXPECT_FALSE(constraint.allowed().contains(id(text))) << text;
    EXPECT_FALSE(constraint.accept(id(text))) << text;
  }
  EXPECT_FALSE(constraint.accept(-1));
  EXPECT_FALSE(constraint.accept(static_cast<TokenId>(tokenizer_->size()) + 64));
  take(constraint, {"<channel|>", "[", "]"});
  EXPECT_FALSE(constraint.accept(id("<|channel>")));
  take(constraint, {"<turn|>"});
}

TEST_F(AnswerConstraintTest, AThoughtNeedNotCome) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::maybe);
  EXPECT_FALSE(constraint.accept(id("a")));
  take(constraint, {"["});
  EXPECT_FALSE(constraint.allowed().contains(id("<|channel>")));
  EXPECT_FALSE(constraint.accept(id("<|channel>")));
  take(constraint, {"]", "<turn|>"});
}

TEST_F(AnswerConstraintTest, ACallWouldEndAThoughtSoThereIsNone) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::is_open);
  EXPECT_FALSE(constraint.allowed().contains(id("<|tool_call>")));
  EXPECT_FALSE(constraint.accept(id("<|tool_call>")));
}

TEST_F(AnswerConstraintTest, PartOfTheAnswerMayBeThereAlready) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::no, "[1");
  EXPECT_FALSE(constraint.accept(id("[")));
  take(constraint, {"2", "]", "<turn|>"});
  EXPECT_THROW(AnswerConstraint(masks_, *tokenizer_, ThoughtFirst::no, "x"), GrammarError);
}

TEST_F(AnswerConstraintTest, AThoughtMayBeOpenAlready) {
  AnswerConstraint constraint(masks_, *tokenizer_, ThoughtFirst::is_open);
  take(constraint, {"a", "<channel|>", "[", "]", "<turn|>"});
}

}  // namespace
}  // namespace tandem::model
