// `tandem plan`: exit codes, both outputs, and what it refuses.

#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/plan_json.h"
#include "tests/cli/run_tandem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace tandem::cli_test {
namespace {

using nlohmann::json;

const std::string kModel = "catalogue:gemma4-12b-qat-q4_0";

TEST(TandemPlan, PrintsATableThatFits) {
  const auto run = run_tandem("plan " + kModel);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("verdict     fits"), std::string::npos) << run.out;
  EXPECT_EQ(run.err, "");
}

TEST(TandemPlan, PrintsJsonThatTheDaemonReads) {
  const auto run = run_tandem("plan " + kModel + " --json --context 262144 --sequences 1");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const auto plan = planner::parse_plan(run.out);
  EXPECT_EQ(plan.model.tensor_bytes, 6'960'054'464U);
  EXPECT_EQ(plan.workload.max_seq_len, 262'144U);
  EXPECT_TRUE(plan.fits);
}

TEST(TandemPlan, TakesEveryOption) {
  const auto run =
      run_tandem("plan " + kModel +
                 " --json --vram 5GB --ram 20GiB --context 3000 --expect-context 1500 --sequences 2"
                 " --micro-batch 64 --stream-rows 48 --kv-type q8_0 --optimise prefill --head-type keep "
                 "--cpu-weights mapped "
                 "--devices cpu,emulated"
                 " --machine rtx3060-12gb-ddr4");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const auto plan = json::parse(run.out);
  EXPECT_EQ(plan["budget"]["vram_bytes"], 5'000'000'000);
  EXPECT_EQ(plan["budget"]["ram_bytes"], 20LL << 30);
  const json workload{{"max_seq_len", 3000},    {"expected_context", 1500}, {"sequences", 2},
                      {"micro_batch", 64},      {"draft_rows", 0},          {"kv_type", "q8_0"},
                      {"optimise", "prefill"},  {"head_type", "keep"},      {"stream_rows", 48},
                      {"cpu_weights", "mapped"}};
  EXPECT_EQ(plan["workload"], workload);
  EXPECT_EQ(plan["requested"], workload);
  EXPECT_EQ(plan["machine"]["name"], "rtx3060-12gb-ddr4");
  std::set<std::string> devices;
  for (const auto& stage : plan["stages"]) devices.insert(stage["device"].get<std::string>());
  EXPECT_EQ(devices, (std::set<std::string>{"cpu", "emulated0"}));
}

TEST(TandemPlan, ExitsWith2AndStillPrintsWhereItDoesNotFit) {
  const auto run =
      run_tandem("plan " + kModel + " --json --devices cpu --ram 6GB --context 262144 --sequences 1");
  EXPECT_EQ(run.exit_code, 2) << run.err;
  const auto plan = json::parse(run.out);
  EXPECT_EQ(plan["fits"], false);
  EXPECT_GT(plan["shortfalls"]["ram_bytes"], 0);
  EXPECT_TRUE(plan["largest_context"].is_null());
  EXPECT_EQ(run_tandem("plan " + kModel + " --devices cpu --ram 6GB").exit_code, 2);
}

TEST(TandemPlan, ExitsWith1OnUsage) {
  for (const auto* arguments : {"",
                                "--no-such-option",
                                "--vram 12GiBB",
                                "--vram -1",
                                "--vram ''",
                                "--kv-type ''",
                                "--sweep ''",
                                "--target-tps ''",
                                "--machine /",
                                "--vram 99999999999TiB",
                                "--ram 1e9",
                                "--context 0",
                                "--context 2147483648",
                                "--context 4g",
                                "--context 4kk",
                                "--context=-1",
                                "--context 99999999999999999999",
                                "--sequences 0",
                                "--sequences 4097",
                                "--micro-batch 0",
                                "--micro-batch 3",
                                "--stream-rows 513",
                                "--stream-rows=-1",
                                "--kv-type q4_0",
                                "--optimise everything",
                                "--devices tpu",
                                "--machine nowhere",
                                "--machine ./nowhere.json",
                                "--machine rtx4091",
                                "--machine rtx4090+ddr6",
                                "--expect-context 9000",
                                "--sweep vram",
                                "--sweep vram=2:1:1",
                                "--sweep disk=1:2:1",
                                "--sweep ram=0:100GiB:1MiB",
                                "--sweep context=0:4k:1k",
                                "--target-tps 0",
                                "--target-tps=-1",
                                "--target-tps nan",
                                "--target-tps inf",
                                "--target-tps 1e308",
                                "--target-tps 1e-308",
                                "--target-tps fast",
                                "--target-tps 1s",
                                "--target-ttft 0",
                                "--target-ttft 2h",
                                "--target-ttft s",
                                "--color blue",
                                "--max-context --svg /dev/null",
                                "--svg /nowhere/plan.svg",
                                "--max-context --min-vram",
                                "--max-context --sweep vram=1:2:1"}) {
    const auto model = *arguments == '\0' ? "" : kModel + " ";
    const auto run = run_tandem("plan " + model + arguments);
    EXPECT_EQ(run.exit_code, 1) << arguments;
    EXPECT_EQ(run.out, "") << arguments;
    EXPECT_NE(run.err, "") << arguments;
  }
  EXPECT_EQ(run_tandem("plan catalogue:gemma5-1t").exit_code, 1);
  EXPECT_EQ(run_tandem("").exit_code, 1);
  EXPECT_EQ(run_tandem("--help").exit_code, 0);
  EXPECT_EQ(run_tandem("plan --help").exit_code, 0);
}

TEST(TandemPlan, CountsOneThingAsOne) {
  const auto run = run_tandem("plan " TANDEM_SOURCE_DIR
                              "/config/embedded/tandem-tiny-q4_0.gguf --context 9 --sequences 1");
  EXPECT_NE(run.out.find("1 page of 64 tokens"), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("- 1 layer without V projection caches one"), std::string::npos) << run.out;
}

TEST(TandemPlan, ExitsWith3OnABadModel) {
  const test_support::TempDir directory;
  const auto garbage = directory.write("garbage.gguf", "this is no model");
  const auto run = run_tandem("plan " + garbage.string());
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_NE(run.err.find("garbage.gguf: byte 0"), std::string::npos) << run.err;

  auto bytes = test_support::TinyModel::gemma4().header_bytes();
  const auto cut = directory.write("cut.gguf", bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(run_tandem("plan " + cut.string()).exit_code, 3);
}

TEST(TandemPlan, PlansAHeaderWithoutItsData) {
  const test_support::TempDir directory;
  const auto model = test_support::TinyModel::gemma3();
  const auto header =
      run_tandem("plan --json " + directory.write("header.gguf", model.header_bytes()).string());
  const auto whole = run_tandem("plan --json " + directory.write("whole.gguf", model.file_bytes()).string());
  ASSERT_EQ(header.exit_code, 0) << header.err;
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const auto header_plan = json::parse(header.out);
  const auto whole_plan = json::parse(whole.out);
  EXPECT_EQ(header_plan["model"]["missing_bytes"], header_plan["model"]["tensor_bytes"]);
  EXPECT_EQ(whole_plan["model"]["missing_bytes"], 0);
  EXPECT_EQ(header_plan["arenas"], whole_plan["arenas"]);
}

TEST(TandemPlan, ReadsAProfileFromAFile) {
  const auto run = run_tandem("plan --json " + kModel +
                              " --machine " TANDEM_SOURCE_DIR "/config/machines/rtx3060-12gb-ddr4.json");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(json::parse(run.out)["machine"]["name"], "rtx3060-12gb-ddr4");
}

TEST(TandemPlan, AnswersQuestions) {
  for (const auto* question :
       {"--max-context", "--max-sequences", "--min-vram", "--sweep vram=6GiB:12GiB:2GiB", "--target-tps 5",
        "--target-ttft 20s", "--target-ttft 20000ms"}) {
    const auto table = run_tandem("plan " + kModel + " " + question);
    EXPECT_EQ(table.exit_code, 0) << question << table.err;
    EXPECT_NE(table.out.find("searched"), std::string::npos) << table.out;
    const auto answer = run_tandem("plan --json " + kModel + " " + question);
    ASSERT_EQ(answer.exit_code, 0) << question;
    const auto document = json::parse(answer.out);
    EXPECT_EQ(document["schema"], "tandem.answer/1");
    EXPECT_EQ(document["answers"][0]["answered"], true);
  }
}

TEST(TandemPlan, ExitsWith2WhereNothingAnswers) {
  for (const auto* question :
       {"--max-context --ram 1GB --devices cpu", "--max-sequences --ram 1GB --devices cpu",
        "--min-vram --ram 1kB", "--sweep vram=1GiB:2GiB:1GiB --ram 1GB", "--target-tps 1000000",
        "--target-ttft 1ms"}) {
    const auto run = run_tandem("plan " + kModel + " " + question);
    EXPECT_EQ(run.exit_code, 2) << question << run.err;
    EXPECT_NE(run.out, "") << question;
  }
}

TEST(TandemPlan, ComparesModels) {
  const auto models = kModel + " catalogue:gemma3-27b-qat-q4_0";
  const auto run = run_tandem("plan --json --ram 12GB " + models + " catalogue:gemma3-27b-bf16");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto rows = json::parse(run.out)["answers"][0]["rows"];
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[1]["label"], "gemma3-27b-qat-q4_0");
  EXPECT_EQ(rows[1]["plan"]["model"], "Gemma 3 27B");
  EXPECT_EQ(rows[0]["holds"], true);
  EXPECT_EQ(rows[2]["holds"], false);
  EXPECT_EQ(run_tandem("plan " + models + " --ram 1GB --vram 1GB").exit_code, 2);
  EXPECT_EQ(json::parse(run_tandem("plan --json --max-context " + models).out)["answers"].size(), 2U);
  const test_support::TempDir directory;
  const auto garbage = directory.write("garbage.gguf", "this is no model");
  EXPECT_EQ(run_tandem("plan " + kModel + " " + garbage.string()).exit_code, 3);
}

TEST(TandemPlan, ListsMachines) {
  const auto run = run_tandem("plan --machine list");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("rtx4090"), std::string::npos);
  EXPECT_EQ(json::parse(run_tandem("plan --machine list --json").out)["schema"], "tandem.machines/1");
  for (const auto* asked : {" catalogue:gemma3-4b-qat-q4_0", " --max-context", " --vram 1GiB"}) {
    const auto more = run_tandem("plan --machine list" + std::string(asked));
    EXPECT_EQ(more.exit_code, 1) << asked;
    EXPECT_EQ(more.out, "") << asked;
    EXPECT_NE(more.err.find("--machine list lists machines and plans nothing"), std::string::npos)
        << more.err;
  }
}

TEST(TandemPlan, AsksNothingMoreOfADaemonsPlan) {
  for (const auto* asked :
       {"--max-context", "--context 4k", "--machine rtx4090", "--sweep vram=1GiB:2GiB:1GiB"}) {
    const auto run = run_tandem("plan --socket /nowhere/socket " + std::string(asked));
    EXPECT_EQ(run.exit_code, 1) << asked;
    EXPECT_NE(run.err.find("--socket shows the plan that a daemon executes as it is"), std::string::npos)
        << run.err;
  }
  EXPECT_EQ(run_tandem("plan --socket /nowhere/socket --json").exit_code, 4) << "nobody listens";
}

TEST(TandemPlan, TakesTheMemoryOfANamedCard) {
  const auto card = run_tandem("plan --json --machine rtx4090 " + kModel);
  EXPECT_EQ(json::parse(card.out)["budget"]["vram_bytes"], 24564LL << 20) << card.err;
  const auto less = run_tandem("plan --json --machine rtx4090+ddr4-3200 --vram 8GiB --context 4k " + kModel);
  const auto plan = json::parse(less.out);
  EXPECT_EQ(plan["budget"]["vram_bytes"], 8LL << 30);
  EXPECT_EQ(plan["machine"]["name"], "rtx4090+ddr4-3200");
  EXPECT_EQ(plan["workload"]["max_seq_len"], 4096);
}

TEST(TandemPlan, ColoursOnlyWhatIsWanted) {
  const auto colours = [](const std::string& environment, const std::string& arguments) {
    const auto run =
        run_shell(environment + " " TANDEM_BINARY_DIR "/tandem plan " + kModel + " " + arguments);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.out.find('\x1b') != std::string::npos;
  };
  EXPECT_FALSE(colours("", ""));  // no terminal
  EXPECT_TRUE(colours("", "--color always"));
  EXPECT_TRUE(colours("NO_COLOR=1", "--color always"));
  EXPECT_FALSE(colours("", "--color never"));
  EXPECT_FALSE(colours("", "--color always --json"));
  EXPECT_TRUE(colours("", "--color always --sweep vram=8GiB:9GiB:1GiB"));
  // `script` lends a terminal.
  const auto on_terminal = [](const std::string& environment) {
    const auto run = run_shell("TERM=xterm " + environment +
                               " script -qec '" TANDEM_BINARY_DIR "/tandem plan " + kModel + "' /dev/null");
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.out.find('\x1b') != std::string::npos;
  };
  EXPECT_TRUE(on_terminal(""));
  EXPECT_TRUE(on_terminal("NO_COLOR="));
  EXPECT_FALSE(on_terminal("NO_COLOR=1"));
  EXPECT_FALSE(on_terminal("TERM=dumb"));
}

TEST(TandemPlan, DrawsThePlanAndStillPrintsIt) {
  const test_support::TempDir directory;
  const auto picture = (directory.path() / "plan.svg").string();
  const auto run = run_tandem("plan " + kModel + " --svg " + picture);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("verdict"), std::string::npos);
  EXPECT_EQ(run_shell("grep -c '<svg' " + picture).out, "1\n");
}

}  // namespace
}  // namespace tandem::cli_test
