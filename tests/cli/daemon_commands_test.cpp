// tandem run, ps and stop against a daemon whose model is a fixed sentence.
#include <csignal>
#include <fstream>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"
#include "ipc/client.h"
#include "ipc/unix_socket.h"
#include "tests/cli/run_tandem.h"
#include "tests/ipc/harness.h"

namespace tandem::cli {
namespace {

using cli_test::Outcome;
using cli_test::run_shell;
using cli_test::run_tandem;
using ipc::Json;
using ipc::testing::FakeService;
using ipc::testing::Harness;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DaemonCommands : public ::testing::Test {
 protected:
  Outcome tandem(const std::string& arguments) {
    return run_tandem(arguments + " --socket " + harness_.path());
  }
  ipc::GenerationRequest last_request() { return harness_.service.submitted().back(); }
  std::string prompt_text() { return harness_.service.detokenize(last_request().prompt); }

  Harness harness_;
};

TEST_F(DaemonCommands, RunPrintsTheAnswerAndItsRates) {
  const Outcome outcome = tandem("run 'Hello there' --max-tokens 3");
  EXPECT_EQ(outcome.exit_code, kOk);
  EXPECT_EQ(outcome.out, FakeService::answer(3) + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("note: this model has random weights; its answers are noise\n"));
  EXPECT_THAT(outcome.err,
              HasSubstr("prompt: 12 tokens, 6000.0 tok/s; answer: 3 tokens, 666.7 tok/s, 12.5 GB/s\n"));
  EXPECT_EQ(prompt_text(), "Hello there");
}

TEST_F(DaemonCommands, RunPassesOptionsOn) {
  EXPECT_EQ(tandem("run x --max-tokens 9 --temperature 0 --top-k 5 --top-p 0.5 --min-p 0.25 --seed 7 "
                   "--stop one --stop 'two words'")
                .exit_code,
            kOk);
  const ipc::GenerationRequest request = last_request();
  EXPECT_EQ(request.max_tokens, 9u);
  EXPECT_EQ(request.temperature, 0.0f);
  EXPECT_EQ(request.top_k, 5u);
  EXPECT_EQ(request.top_p, 0.5f);
  EXPECT_EQ(request.min_p, 0.25f);
  EXPECT_EQ(request.seed, 7u);
  EXPECT_THAT(request.stop, ::testing::ElementsAre("one", "two words"));
}

TEST_F(DaemonCommands, RunReadsStandardInput) {
  const std::string tail = "/tandem run - --max-tokens 1 --socket " + harness_.path();
  const Outcome outcome = run_shell("printf 'two\\nlines\\n\\n' | " TANDEM_BINARY_DIR + tail);
  EXPECT_EQ(outcome.exit_code, kOk);
  EXPECT_EQ(prompt_text(), "two\nlines\n");
  EXPECT_EQ(run_shell("printf '\\377' | " TANDEM_BINARY_DIR + tail).exit_code, kUsage);
}

TEST_F(DaemonCommands, RunAsksAsAChatTurnIfTold) {
  EXPECT_EQ(tandem("run --chat '  hi <eos> ' --max-tokens 1").exit_code, kOk);
  ASSERT_EQ(harness_.service.chats().size(), 1u);
  const auto messages = harness_.service.chats()[0].messages;
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(std::get<std::string>(messages[0].content), "  hi <eos> ");
}

TEST_F(DaemonCommands, RunThinksIfToldAndNotInTheAnswer) {
  const Outcome outcome = tandem("run --chat x --think --max-tokens 4");
  EXPECT_EQ(outcome.exit_code, kOk);
  EXPECT_EQ(harness_.service.chats().back().thinking, ipc::Thinking::on);
  EXPECT_THAT(outcome.err, HasSubstr(FakeService::thought() + "\n\n"));
  EXPECT_EQ(outcome.out, FakeService::answer(2) + "\n");  // its first two tokens were thoughts
  EXPECT_EQ(tandem("run --chat x --no-think --max-tokens 1").exit_code, kOk);
  EXPECT_EQ(harness_.service.chats().back().thinking, ipc::Thinking::off);
  EXPECT_EQ(tandem("run --chat x --max-tokens 1").exit_code, kOk);
  EXPECT_EQ(harness_.service.chats().back().thinking, ipc::Thinking::model_default);
}

TEST_F(DaemonCommands, RunThinksInChatsOnly) {
  const Outcome outcome = tandem("run x --think");
  EXPECT_EQ(outcome.exit_code, kUsage);
  EXPECT_THAT(outcome.err, HasSubstr("--chat"));
  EXPECT_TRUE(harness_.service.submitted().empty());
}

TEST_F(DaemonCommands, ChatThinksIfTold) {
  const auto chat = [this](const std::string& flags) {
    EXPECT_EQ(run_shell("printf 'hi\\n' | " TANDEM_BINARY_DIR "/tandem chat --set max_tokens=1 --socket " +
                        harness_.path() + flags)
                  .exit_code,
              kOk);
    return harness_.service.chats().back().thinking;
  };
  EXPECT_EQ(chat(" --think"), ipc::Thinking::on);
  EXPECT_EQ(chat(" --no-think"), ipc::Thinking::off);
  EXPECT_EQ(chat(" --set thinking=on"), ipc::Thinking::on);
  EXPECT_EQ(chat(""), ipc::Thinking::model_default);
}

TEST_F(DaemonCommands, RunPrintsTheApisJson) {
  const Outcome outcome = tandem("run x --max-tokens 2 --json");
  EXPECT_EQ(outcome.exit_code, kOk);
  EXPECT_EQ(Json::parse(outcome.out)["choices"][0]["text"], FakeService::answer(2));
}

TEST_F(DaemonCommands, RunSaysWhatTheDaemonRefuses) {
  const Outcome outcome = tandem("run x --temperature 9");
  EXPECT_EQ(outcome.exit_code, kRefused);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("tandem: 'temperature' must be between 0.0 and 2.0, got 9.0\n"));
}

TEST_F(DaemonCommands, RunSendsTheNumbersThatWereTypedOrNone) {
  for (const char* flags :
       {"--temperature nan", "--temperature inf", "--top-p -nan", "--min-p 1e999",
        "--seed 99999999999999999999", "--top-k -99999999999999999999", "--max-tokens 4294967297"}) {
    const Outcome outcome = tandem(std::string("run x ") + flags);
    EXPECT_EQ(outcome.exit_code, kUsage) << flags;
    EXPECT_EQ(outcome.out, "") << flags;
  }
  EXPECT_TRUE(harness_.service.submitted().empty());
}

TEST_F(DaemonCommands, RunReadsNoFolderAsAnEmptyPrompt) {
  const std::string tail = "/tandem run --socket " + harness_.path() + " </";
  for (const char* options : {"", " --file -"}) {
    const Outcome outcome = run_shell(TANDEM_BINARY_DIR + tail + options);
    EXPECT_EQ(outcome.exit_code, kUsage) << options;
    EXPECT_THAT(outcome.err, HasSubstr("standard input: cannot be read")) << options;
  }
  EXPECT_TRUE(harness_.service.submitted().empty());
}

TEST_F(DaemonCommands, RunDoesNotAnswerIntoTheConnection) {
  // A process without standard output gives its number to what it opens next.
  for (const char* closed : {" >&-", " <&- >&-"}) {
    const Outcome lost =
        run_shell(TANDEM_BINARY_DIR "/tandem run x --max-tokens 3 --socket " + harness_.path() + closed);
    EXPECT_EQ(lost.exit_code, kUsage) << closed;
    EXPECT_THAT(lost.err, HasSubstr("standard output could not be written to its end")) << closed;
  }
}

TEST_F(DaemonCommands, TopEndsWhereItCannotBeRead) {
  for (const char* flags : {"", " --json"}) {
    const Outcome outcome = run_shell("timeout -k 1 60 " TANDEM_BINARY_DIR "/tandem top" +
                                      std::string(flags) + " --socket " + harness_.path() + " >/dev/full");
    EXPECT_EQ(outcome.exit_code, kUsage) << flags;
    EXPECT_THAT(outcome.err, HasSubstr("standard output could not be written to its end")) << flags;
  }
}

TEST_F(DaemonCommands, ChatGoesOnAfterAFileThatIsNoConversation) {
  const Outcome outcome =
      run_shell("printf '/load /\n/set seed 3\n/set\n' | " TANDEM_BINARY_DIR "/tandem chat --socket " +
                harness_.path());
  EXPECT_EQ(outcome.exit_code, kRefused);
  EXPECT_EQ(outcome.out, "seed 3\n");
  EXPECT_THAT(outcome.err, HasSubstr("tandem: /: cannot be read: Is a directory\n"));
}

TEST_F(DaemonCommands, WaitDoesNotWaitLongerThanItWasTold) {
  // Takes connections and never says a word, as a daemon that was stopped.
  const std::string path = harness_.directory.file("mute");
  const ipc::UnixListener mute({path, 0600, {}});
  const Outcome outcome =
      run_shell("timeout -k 1 60 " TANDEM_BINARY_DIR "/tandem wait --timeout 1 --socket " + path);
  EXPECT_EQ(outcome.exit_code, kNoDaemon);
  EXPECT_EQ(outcome.err, "tandem: no daemon served within 1 s\n");
  EXPECT_EQ(tandem("wait --timeout 0").exit_code, kOk);
}

TEST_F(DaemonCommands, RunKeepsWhatCameBeforeAFailure) {
  harness_.service.fail_with("the device is gone");
  const Outcome outcome = tandem("run x");
  EXPECT_EQ(outcome.exit_code, kRefused);
  EXPECT_EQ(outcome.out, FakeService::answer(1) + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("tandem: the device is gone\n"));
}

TEST_F(DaemonCommands, CtrlCCancelsTheRequestAndNotTheDaemon) {
  const std::string pid_file = harness_.directory.file("pid");
  harness_.service.hold("decode");
  Outcome outcome;
  std::thread command([&] {
    outcome = run_shell("sh -c 'echo $$ >" + pid_file +
                        "; exec " TANDEM_BINARY_DIR "/tandem run x --socket " + harness_.path() + "'");
  });
  EXPECT_TRUE(harness_.service.wait_until([&] { return harness_.service.unfinished() == 1; }));
  pid_t pid = 0;
  std::ifstream(pid_file) >> pid;
  EXPECT_GT(pid, 1);
  if (pid > 1) ::kill(pid, SIGINT);
  command.join();
  EXPECT_EQ(outcome.exit_code, kInterrupted);
  EXPECT_TRUE(harness_.becomes_idle());
  EXPECT_EQ(harness_.get("/health").status, 200);
}

TEST_F(DaemonCommands, PsListsRequests) {
  EXPECT_THAT(tandem("ps").out, HasSubstr("no requests\n"));
  harness_.service.hold("prompt");
  ipc::testing::RawClient client(harness_.path());
  client.request("POST", "/v1/completions", R"({"prompt": "abc", "max_tokens": 9})");
  ASSERT_TRUE(harness_.service.wait_until([&] { return harness_.service.unfinished() == 1; }));
  const Outcome table = tandem("ps");
  EXPECT_EQ(table.exit_code, kOk);
  EXPECT_THAT(table.out, StartsWith("tandemd fake, pid " + std::to_string(::getpid()) + ", ok, up 0 s\n"));
  EXPECT_THAT(table.out, HasSubstr("model fake/words-1B, context 4096 tokens"));
  EXPECT_THAT(table.out, HasSubstr(last_request().id));
  EXPECT_THAT(table.out, HasSubstr("0/9"));
  const Json json = Json::parse(tandem("ps --json").out);
  EXPECT_EQ(json["pid"], ::getpid());
  EXPECT_EQ(json["health"]["status"], "ok");
  EXPECT_EQ(json["model"]["id"], "fake/words-1B");
  EXPECT_EQ(json["requests"][0]["id"], last_request().id);
}

TEST(FullDaemon, SaysSo) {
  ipc::Limits limits;
  limits.connections = 1;
  Harness harness(limits);
  ipc::Client other(harness.path());
  EXPECT_EQ(other.get("/health").status, 200u);
  for (const char* command : {"ps", "run x"}) {
    const Outcome outcome = run_tandem(command + (" --socket " + harness.path()));
    EXPECT_EQ(outcome.exit_code, kRefused) << command;
    EXPECT_THAT(outcome.err, HasSubstr("the limit connections, 1, is reached")) << command;
  }
}

TEST_F(DaemonCommands, WithoutADaemonTheySaySo) {
  const std::string nowhere = " --socket " + harness_.directory.file("nowhere");
  for (const char* command : {"run x", "ps", "stop"}) {
    const Outcome outcome = run_tandem(command + nowhere);
    EXPECT_EQ(outcome.exit_code, kNoDaemon) << command;
    EXPECT_THAT(outcome.err, HasSubstr("no daemon listens there; start tandemd")) << command;
    EXPECT_EQ(outcome.out, "") << command;
  }
}

TEST_F(DaemonCommands, TheSocketMayComeFromTheEnvironment) {
  EXPECT_EQ(run_shell("TANDEM_SOCKET=" + harness_.path() + " " TANDEM_BINARY_DIR "/tandem ps").exit_code,
            kOk);
}

TEST(StopCommand, WaitsUntilTheDaemonIsGone) {
  const ipc::testing::TemporaryDirectory directory;
  const std::string socket = directory.file("s");
  for (const std::string flag : {"", " --json"}) {
    const Outcome started =
        run_shell("rm -f " + directory.file("log") + "; " TANDEM_BINARY_DIR "/tests/fake_daemon " + socket +
                  " >" + directory.file("log") + " 2>&1 & echo $!; until grep -qs listening " +
                  directory.file("log") + "; do sleep 0.01; done");
    ASSERT_EQ(started.exit_code, 0);
    const pid_t pid = std::stoi(started.out);
    const Outcome stopped = run_tandem("stop --socket " + socket + flag);
    EXPECT_EQ(stopped.exit_code, kOk) << stopped.err;
    EXPECT_NE(::access(socket.c_str(), F_OK), 0) << "the daemon has removed its socket";
    if (flag.empty()) {
      EXPECT_THAT(stopped.out, StartsWith("stopped the daemon (pid " + std::to_string(pid) + ") after "));
    } else {
      EXPECT_EQ(Json::parse(stopped.out)["pid"], pid);
      EXPECT_EQ(Json::parse(stopped.out)["stopped"], true);
    }
  }
}

}  // namespace
}  // namespace tandem::cli
