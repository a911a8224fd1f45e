// What is the same for every command of `tandem`: words that are none, and output that cannot be written.

#include <gtest/gtest.h>

#include "tests/cli/run_tandem.h"

namespace tandem::cli_test {
namespace {

TEST(TandemCommand, OneThatIsNoneIsNamedBesideTheNearest) {
  for (const auto* typed : {"chta", "chta --socket x", "''"}) {
    const auto run = run_tandem(typed);
    EXPECT_EQ(run.exit_code, 1) << typed;
    EXPECT_EQ(run.out, "") << typed;
    EXPECT_EQ(run.err.rfind("tandem: there is no command \"", 0), 0U) << typed << ": " << run.err;
  }
  const auto run = run_tandem("chta");
  EXPECT_NE(run.err.find("there is no command \"chta\""), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("did you mean chat?"), std::string::npos) << run.err;
  EXPECT_EQ(run_tandem("--no-such-option").err.find("there is no command"), std::string::npos);
}

TEST(TandemCommand, WrongOptionsAreToldWithWhatWasMeant) {
  const std::pair<const char*, const char*> cases[] = {
      {"plan x --vrma 12GiB",
       "tandem: there is no option --vrma\ntandem: did you mean --vram?  see tandem plan --help\n"},
      {"plan x --contxt=4k",
       "tandem: there is no option --contxt\ntandem: did you mean --context?  see tandem plan --help\n"},
      {"plan x --max-contxt",
       "tandem: there is no option --max-contxt\ntandem: did you mean --max-context?  see tandem plan "
       "--help\n"},
      {"stop now", "tandem: nothing is expected where 'now' stands\ntandem: see tandem stop --help\n"},
      {"run x --seed 1 --seed 2", "tandem: --seed is given more than once\ntandem: see tandem run --help\n"},
      {"run x --seed", "see tandem run --help\n"},
      {"", "tandem: a command is missing\ntandem: see tandem --help\n"},
      {"--hlep", "see tandem --help\n"}};
  for (const auto& [command, told] : cases) {
    const auto run = run_tandem(command);
    EXPECT_EQ(run.exit_code, 1) << command;
    EXPECT_EQ(run.out, "") << command;
    EXPECT_TRUE(run.err.starts_with("tandem: ") && run.err.ends_with(told)) << command << ": " << run.err;
  }
  const auto daemon = run_shell(TANDEM_BINARY_DIR "/tandemd --modle x");
  EXPECT_EQ(daemon.exit_code, 1);
  EXPECT_EQ(daemon.err,
            "tandemd: there is no option --modle\ntandemd: did you mean --model?  see tandemd --help\n");
}

TEST(TandemCommand, ValuesMayBeEmptyOfTextsOnly) {
  // As of a shell's variable that is not set: the default daemon must not stop for it, nor 0 be taken for it.
  for (const auto* command :
       {"stop --socket ''", "ps --socket ''", "run x --max-tokens ''", "run x --seed ''", "bench ''",
        "inspect ''", "plan x --vram ''", "plan x --max-context --vram ''", "wait --socket ''",
        "chat --load ''", "calibrate --output ''"}) {
    const auto run = run_tandem(command);
    EXPECT_EQ(run.exit_code, 1) << command;
    EXPECT_NE(run.err.find("must not be empty"), std::string::npos) << command << ": " << run.err;
  }
  EXPECT_EQ(run_tandem("chat --system '' --socket /nowhere").exit_code, 4);
  const auto daemon = run_shell(TANDEM_BINARY_DIR "/tandemd --threads ''");
  EXPECT_EQ(daemon.exit_code, 1);
  EXPECT_NE(daemon.err.find("--threads: must not be empty"), std::string::npos) << daemon.err;
}

TEST(TandemCommand, OutputThatIsLostIsAFailure) {
  for (const auto* command :
       {"plan catalogue:gemma4-12b-qat-q4_0", "plan catalogue:gemma4-12b-qat-q4_0 --json",
        "plan --machine list", "inspect catalogue:gemma4-12b-qat-q4_0", "completions bash", "manual"}) {
    const auto run = run_tandem(std::string(command) + " >/dev/full");
    EXPECT_EQ(run.exit_code, 1) << command;
    EXPECT_EQ(run.err, "tandem: standard output could not be written to its end\n") << command;
  }
}

}  // namespace
}  // namespace tandem::cli_test
