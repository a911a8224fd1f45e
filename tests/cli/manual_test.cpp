// What completions and man pages are made of, on a program made up for it.

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/manual/completions.h"
#include "cli/manual/man_page.h"

namespace tandem::manual {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Description : public ::testing::Test {
 protected:
  Description() : app_("It's a program", "program") {
    auto* const play = app_.add_subcommand("play", "Play: a tune");
    play->add_option("TUNE", text_, "what")->type_name("FILE|tune:NAME")->required();
    play->add_option("--key", text_, "of the tune [c]")->type_name("c|d|KEY");
    play->add_option("--times", times_, "how often")->type_name("COUNT")->check(CLI::Range(1, 9));
    play->add_option("--hidden", text_, "for nobody")->group("");
    auto* const group = play->add_option_group("Noise");
    group->add_flag("-l,--loud,!--soft", loud_, "how loud");
    app_.add_subcommand("secret", "for nobody")->group("");
  }
  [[nodiscard]] Command described() const { return describe(app_, {{"tune:NAME", {"tune:a", "tune:b"}}}); }
  [[nodiscard]] Command play() const { return described().commands.at(0); }

  std::string text_;
  int times_ = 2;
  bool loud_ = false;
  CLI::App app_;
};

TEST_F(Description, HasCommandsAndOptionsThatAreNotHidden) {
  ASSERT_EQ(described().commands.size(), 1U);
  EXPECT_EQ(play().name, "play");
  std::vector<std::string> names;
  for (const auto& option : play().options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  EXPECT_THAT(names, ElementsAre("-h", "--help", "--key", "--times", "-l", "--loud", "--soft"));
}

TEST_F(Description, ReadsTypeNames) {
  const auto tune = play().arguments.at(0);
  EXPECT_TRUE(tune.value.files);
  EXPECT_TRUE(tune.required);
  EXPECT_THAT(tune.value.words, ElementsAre("tune:a", "tune:b"));
  const auto key = play().options.at(1);
  EXPECT_THAT(key.value.words, ElementsAre("c", "d"));
  EXPECT_FALSE(key.value.files);
  const auto times = play().options.at(2);
  EXPECT_EQ(times.value.shown, "COUNT");
  EXPECT_EQ(times.range, "[1 - 9]");
  EXPECT_THAT(times.value.words, IsEmpty());
  EXPECT_EQ(play().options.at(3).value.shown, "");
}

TEST_F(Description, CompletesInThreeShellsOnly) {
  EXPECT_THAT(completion(described(), "bash"), HasSubstr("complete -F _program program"));
  EXPECT_THAT(completion(described(), "zsh"), HasSubstr("#compdef program"));
  EXPECT_THAT(completion(described(), "fish"), HasSubstr("complete -c program"));
  EXPECT_THROW(completion(described(), "csh"), std::invalid_argument);
  EXPECT_THROW(completion(described(), ""), std::invalid_argument);
}

TEST_F(Description, MakesSectionsOfAManPage) {
  const auto text = commands_section(described());
  EXPECT_THAT(text, HasSubstr(".SS \"program play\"\nPlay: a tune.\n"));
  EXPECT_THAT(text, HasSubstr("\\fBprogram play\\fR [\\fIoption\\fR ...] \\fITUNE\\fR\n"));
  EXPECT_THAT(
      text, HasSubstr(".TP\n\\fB\\-\\-key\\fR \\fBc\\fR|\\fBd\\fR|\\fIKEY\\fR\nOf the tune. Default: c.\n"));
  EXPECT_THAT(text, HasSubstr("How often. Range: 1 \\- 9.\n"));
  EXPECT_THAT(text, HasSubstr(".TP\n\\fB\\-l\\fR, \\fB\\-\\-loud\\fR, \\fB\\-\\-soft\\fR\nHow loud.\n"));
  EXPECT_THAT(text, Not(HasSubstr("nobody")));
}

TEST(ManPage, TextMeansNothingToRoff) {
  EXPECT_EQ(roff("a-b \\n 'c' `d`"), "a\\-b \\en \\(aqc\\(aq \\(gad\\(ga");
  EXPECT_EQ(roff(".TH\n'br\n.x"), "\\&.TH\n\\&\\(aqbr\n\\&.x");
}

TEST(ManPage, PartsTakeTheirPlaces) {
  EXPECT_EQ(man_page(".TH X \"@VERSION@\"\n@OPTIONS@\nend\n", {{"VERSION", "1"}, {"OPTIONS", "one\ntwo\n"}}),
            ".TH X \"1\"\none\ntwo\nend\n");
}

}  // namespace
}  // namespace tandem::manual
