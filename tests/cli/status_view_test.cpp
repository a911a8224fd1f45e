#include "cli/status_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/ipc/fake_service.h"

namespace tandem::cli {
namespace {

using ipc::Json;
using planner::Ink;
using ::testing::HasSubstr;
using ::testing::Not;

Json request(const std::string& id, const std::string& owner) {
  return {{"id", id},
          {"owner", owner},
          {"state", "decode"},
          {"prompt_tokens", 4'000'000},
          {"prompt_tokens_done", 4'000'000},
          {"completion_tokens", 12},
          {"max_tokens", 2'000'000},
          {"age_us", 90'000'000}};
}

/// What a daemon of 48 layers on two devices says.
Json status_with(const std::vector<Json>& requests) {
  ipc::testing::FakeService service;
  Json status = service.status();
  status.update(Json{{"schema", "tandem.status/1"},
                     {"status", "loading"},
                     {"load_progress", 0.5},
                     {"uptime_s", 200},
                     {"version", "1.2"},
                     {"model", {{"id", "a\x1b[31mmodel"}, {"max_model_len", 10}, {"noise", true}}},
                     {"requests", requests}});
  return status;
}

TEST(StatusView, TellsSpeedMemoryLayersAndRequests) {
  const std::string view = status_view(status_with({request("cmpl-1", "1000/editor")}), 9, Ink::plain);
  for (const char* part :
       {"tandemd 1.2, loading 50%, up 3 m 20 s; a [31mmodel (random weights)\n",
        "12.5 tok/s answers, 125 tok/s prompts, 37.5 GB/s\n", "300 MB of 400 MB",
        "weights 250 MB, kv 20.0 MB of 50.0 MB\n", "100 MB of 1.00 GB", "weights 90.0 MB, head 10.0 MB\n",
        "attention ....####", "FFN       ..............+####", "cmpl-1", "1000/editor", "4000000/4000000",
        "12/2000000", "1 m 30 s"}) {
    EXPECT_THAT(view, HasSubstr(part));
  }
}

TEST(StatusView, HasNoLineOfMoreThan80Columns) {
  const std::string view = status_view(
      status_with({request(std::string(90, 'i'), std::string(90, 'o')), request("a\nb", "\x1b]0;c")}), 9,
      Ink::plain);
  std::istringstream lines(view);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_THAT(view, HasSubstr("iiiiiiiiiiiiiiiii~ ooooooooooooo~ decode"));
  EXPECT_THAT(view, Not(HasSubstr("\x1b"))) << "what clients name themselves cannot steer the terminal";
}

TEST(StatusView, SaysHowManyRequestsItLeavesOut) {
  const std::vector<Json> three(3, request("cmpl", "1"));
  EXPECT_THAT(status_view(status_with(three), 1, Ink::plain), HasSubstr("and 2 more\n"));
  EXPECT_THAT(status_view(status_with(three), 3, Ink::plain), Not(HasSubstr("more\n")));
  EXPECT_THAT(status_view(status_with({}), 0, Ink::plain), HasSubstr("no requests\n"));
}

TEST(StatusView, ColoursAreAllThatInkAdds) {
  const Json status = status_with({});
  std::string coloured = status_view(status, 9, Ink::colour);
  EXPECT_THAT(coloured, HasSubstr("\x1b[48;5;"));
  std::istringstream lines(coloured);
  std::istringstream expected(status_view(status, 9, Ink::plain));
  for (std::string line, plain; std::getline(lines, line) && std::getline(expected, plain);) {
    std::string bare;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\x1b') {
        i = line.find('m', i);
      } else {
        bare += line[i];
      }
    }
    EXPECT_EQ(bare, plain);
  }
}

TEST(StatusView, RefusesWhatItDoesNotKnow) {
  Json status = status_with({});
  status["schema"] = "tandem.status/2";
  EXPECT_THROW(status_view(status, 9, Ink::plain), Error);
  status = status_with({});
  status["devices"][0]["device"] = "abacus0";
  EXPECT_THROW(status_view(status, 9, Ink::plain), Error);
}

TEST(Clipped, CountsColumnsAndKeepsEscapes) {
  EXPECT_EQ(clipped("abcdef", 3), "abc");
  EXPECT_EQ(clipped("abc", 3), "abc");
  EXPECT_EQ(clipped("", 3), "");
  EXPECT_EQ(clipped("\xc3\xa4\xc3\xb6\xc3\xbc", 2), "\xc3\xa4\xc3\xb6");
  EXPECT_EQ(clipped("\x1b[1mabc\x1b[0md", 2), "\x1b[1mab\x1b[0m");
  EXPECT_EQ(clipped("ab\x1b[", 5), "ab\x1b[\x1b[0m");
}

}  // namespace
}  // namespace tandem::cli
