#include "daemon/config.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::daemon {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const json kNothing = json::object();

std::string refusal(const json& file, const json& flags = kNothing) {
  try {
    make_config(file, flags);
  } catch (const BadConfig& error) {
    return std::string(error.what()) + " | " + error.hint();
  }
  return "accepted";
}

TEST(Config, DefaultsAreThoseOfTheDocumentedFile) {
  const auto config = make_config(kNothing, kNothing);
  EXPECT_FALSE(config.model);
  EXPECT_FALSE(config.context_set);
  EXPECT_EQ(config.budget.vram_bytes, 12ULL << 30);
  EXPECT_EQ(config.budget.ram_bytes, 64ULL << 30);
  EXPECT_EQ(config.workload.sequences, 4U);
  EXPECT_EQ(config.workload.micro_batch, 512U);
  EXPECT_EQ(config.workload.kv_type, planner::KvType::f16);
  EXPECT_EQ(config.workload.head_type, planner::HeadType::keep);
  EXPECT_EQ(config.workload.stream_rows, std::nullopt);
  EXPECT_EQ(config.workload.cpu_weights, planner::CpuWeights::repacked);
  EXPECT_EQ(config.workload.optimise, planner::Optimise::decode);
  EXPECT_EQ(config.workload.expected_context, 0U);
  EXPECT_EQ(config.socket.mode, 0600U);
  EXPECT_EQ(config.grace, std::chrono::seconds(30));
}

TEST(Config, FlagsWinOverTheFileAndTheFileOverDefaults) {
  const json file{
      {"model", "a.gguf"},
      {"workload", {{"context", 1000}, {"sequences", 2}, {"optimise", "request"}, {"expected_context", 70}}}};
  const json flags{{"workload", {{"context", 2000}, {"stream_rows", 0}, {"cpu_weights", "mapped"}}}};
  const auto config = make_config(file, flags);
  EXPECT_EQ(*config.model, "a.gguf");
  EXPECT_TRUE(config.context_set);
  EXPECT_EQ(config.workload.max_seq_len, 2000U);
  EXPECT_EQ(config.workload.sequences, 2U);
  EXPECT_EQ(config.workload.stream_rows, 0U);
  EXPECT_EQ(config.workload.cpu_weights, planner::CpuWeights::mapped);
  EXPECT_EQ(config.workload.optimise, planner::Optimise::request);
  EXPECT_EQ(config.workload.expected_context, 70U);
  EXPECT_EQ(config.workload.micro_batch, 512U);
}

TEST(Config, NullInAFileMeansNotSet) {
  EXPECT_FALSE(make_config({{"workload", {{"context", nullptr}}}, {"model", nullptr}}, kNothing).context_set);
}

TEST(Config, SizesAreBytesOrText) {
  EXPECT_EQ(make_config({{"budget", {{"vram", 12345}}}}, kNothing).budget.vram_bytes, 12345U);
  EXPECT_EQ(make_config({{"budget", {{"vram", "1500MB"}}}}, kNothing).budget.vram_bytes, 1'500'000'000U);
}

TEST(Config, EverySizeIsANumberOrAText) {
  EXPECT_EQ(make_config(kNothing, kNothing).emulated_vram_bytes, std::nullopt);
  for (const json& size : {json(4'000'000), json("4000000"), json("4MB"), json("4 MB")}) {
    EXPECT_EQ(make_config({{"emulated_vram", size}}, kNothing).emulated_vram_bytes, 4'000'000U) << size;
    EXPECT_EQ(make_config({{"limits", {{"body_bytes", size}}}}, kNothing).limits.body_bytes, 4'000'000U)
        << size;
  }
}

TEST(Config, NothingIsASizeForVramAlone) {
  for (const json& nothing : {json(0), json("0"), json("0GiB"), json("000")}) {
    EXPECT_EQ(make_config({{"budget", {{"vram", nothing}}}}, kNothing).budget.vram_bytes, 0U) << nothing;
    EXPECT_THAT(refusal({{"budget", {{"ram", nothing}}}}), HasSubstr("budget.ram cannot be")) << nothing;
    EXPECT_THAT(refusal({{"grammar_masks", nothing}}), HasSubstr("grammar_masks cannot be")) << nothing;
    EXPECT_THAT(refusal({{"emulated_vram", nothing}}), HasSubstr("emulated_vram cannot be")) << nothing;
  }
  EXPECT_EQ(make_config({{"budget", {{"ram", "010GB"}}}}, kNothing).budget.ram_bytes, 10'000'000'000U);
}

TEST(Config, AFolderIsNoFile) {
  try {
    read_config_file("/");
    FAIL();
  } catch (const BadConfig& error) {
    EXPECT_STREQ(error.what(), "/: cannot be read: Is a directory");
  }
}

TEST(Config, ThereIsNoPortUnlessOneIsAskedFor) {
  EXPECT_FALSE(make_config(kNothing, kNothing).listen.address);
  const json listen{
      {"address", "127.0.0.1:8080"}, {"hosts", {"box.lan"}}, {"origins", {"http://localhost:3000"}}};
  const auto config = make_config({{"listen", listen}, {"socket", {{"proxy_uids", {33}}}}}, kNothing);
  EXPECT_EQ(config.listen.address, "127.0.0.1:8080");
  EXPECT_EQ(config.listen.hosts, std::vector<std::string>{"box.lan"});
  EXPECT_EQ(config.listen.origins, std::vector<std::string>{"http://localhost:3000"});
  EXPECT_EQ(config.socket.proxy_uids, std::vector<std::uint32_t>{33});
  for (const auto* key : {"hosts", "origins"}) {
    EXPECT_THAT(refusal({{"listen", {{key, listen.at(key)}}}}), HasSubstr("set listen.address")) << key;
  }
  for (const auto* origin :
       {"*", "null", "http://*", "http://localhost:3000/", "HTTP://localhost", "localhost"}) {
    EXPECT_THAT(refusal({{"listen", {{"address", "127.0.0.1:8080"}, {"origins", {origin}}}}}),
                HasSubstr("origins"))
        << origin;
  }
}

TEST(Config, GrammarsAndTheirMasksHaveTheirBytes) {
  EXPECT_EQ(make_config(kNothing, kNothing).grammar_bytes, std::size_t{512} << 20);
  EXPECT_EQ(make_config({{"limits", {{"grammar_bytes", "4MiB"}}}}, kNothing).grammar_bytes,
            std::size_t{4} << 20);
  EXPECT_EQ(make_config(kNothing, kNothing).grammar_mask_bytes, std::size_t{32} << 20);
  EXPECT_EQ(make_config({{"grammar_masks", "1GiB"}}, kNothing).grammar_mask_bytes, std::size_t{1} << 30);
}

TEST(Config, TheSocketModeIsOctal) {
  EXPECT_EQ(make_config({{"socket", {{"mode", "0660"}}}}, kNothing).socket.mode, 0660U);
}

TEST(Config, AnUnknownKeyNamesTheNearest) {
  EXPECT_THAT(refusal({{"modle", "x"}}), AllOf(HasSubstr("\"modle\""), HasSubstr("\"model\"")));
  EXPECT_THAT(refusal({{"socket", {{"pth", "x"}}}}),
              AllOf(HasSubstr("\"socket.pth\""), HasSubstr("\"socket.path\"")));
}

TEST(Config, ValuesOutOfRangeAreRefusedWithTheirKey) {
  struct Case {
    json file;
    const char* key;
  };
  const std::vector<Case> cases{
      {{{"workload", {{"sequences", 0}}}}, "sequences"},
      {{{"workload", {{"sequences", 2.5}}}}, "sequences"},
      {{{"workload", {{"context", -1}}}}, "context"},
      {{{"workload", {{"kv_type", "q4_0"}}}}, "kv_type"},
      {{{"workload", {{"head_type", "q4_0"}}}}, "head_type"},
      {{{"workload", {{"cpu_weights", "planes"}}}}, "cpu_weights"},
      {{{"workload", {{"optimise", "all"}}}}, "optimise"},
      {{{"workload", {{"expected_context", 0}}}}, "expected_context"},
      {{{"budget", {{"ram", "12XB"}}}}, "ram"},
      {{{"budget", {{"ram", "99999999999999999999GiB"}}}}, "ram"},
      {{{"budget", "much"}}, "budget"},
      {{{"socket", {{"mode", "0888"}}}}, "mode"},
      {{{"limits", {{"json_depth", 100000}}}}, "json_depth"},
      {{{"limits", {{"grammar_bytes", "1023KiB"}}}}, "limits.grammar_bytes"},
      {{{"threads", "all"}}, "threads"},
      {{{"grammar_masks", "1023KiB"}}, "grammar_masks"},
      {{{"grammar_masks", "65GiB"}}, "grammar_masks"},
      {{{"grammar_masks", 0}}, "grammar_masks"},
      {{{"log_level", "loud"}}, "log_level"},
      {{{"devices", "tpu"}}, "devices"},
  };
  for (const auto& [file, key] : cases) EXPECT_THAT(refusal(file), HasSubstr(key)) << file;
}

TEST(Config, AValueThatIsRefusedIsShownBesideWhatItsKeyTakes) {
  EXPECT_THAT(refusal(kNothing, {{"devices", "gpu"}}),
              AllOf(HasSubstr("command line: devices cannot be \"gpu\""),
                    HasSubstr("it takes auto|cpu|cuda|cpu,cuda|emulated: what the plan may use")));
  EXPECT_THAT(refusal({{"budget", {{"vram", "12G"}}}}),
              AllOf(HasSubstr("budget.vram cannot be \"12G\""), HasSubstr("text such as 12GiB")));
  EXPECT_THAT(refusal({{"emulated_vram", "12G"}}), HasSubstr("text such as 12GiB"));
  EXPECT_THAT(refusal({{"workload", {{"sequences", 0}}}}),
              AllOf(HasSubstr("workload.sequences cannot be 0"), HasSubstr("it takes COUNT [1 - 1024]")));
  EXPECT_THAT(refusal({{"listen", {{"address", "127.0.0.1:1"}, {"hosts", {"a", "b c"}}}}}),
              AllOf(HasSubstr("listen.hosts cannot be \"b c\""), HasSubstr("it takes [NAME, ...]")));
  EXPECT_THAT(refusal({{"budget", "much"}}),
              AllOf(HasSubstr("budget cannot be \"much\""), HasSubstr("memory allowed in total")));
}

TEST(Config, APlanExcludesBudgetAndWorkload) {
  EXPECT_THAT(refusal({{"plan", "p.json"}, {"workload", {{"context", 5}}}}), HasSubstr("plan"));
  EXPECT_THAT(refusal({{"plan", "p.json"}}, {{"budget", {{"ram", "1GiB"}}}}), HasSubstr("plan"));
  EXPECT_EQ(refusal({{"plan", "p.json"}, {"threads", 2}}), "accepted");
}

TEST(Config, AFileMayHaveCommentsAndMustBeJson) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "tandem_config_test.json";
  std::ofstream(path) << "// comment\n{\"threads\": 3 /* more */}\n";
  EXPECT_EQ(make_config(read_config_file(path), kNothing).threads, 3U);
  std::ofstream(path) << "{\"threads\": }";
  EXPECT_THROW(read_config_file(path), BadConfig);
  std::ofstream(path) << "{\"threads\": 1e999}";
  EXPECT_THROW(read_config_file(path), BadConfig);
  std::ofstream(path) << "[1, 2]";
  EXPECT_THROW(make_config(read_config_file(path), kNothing), BadConfig);
  std::filesystem::remove(path);
  EXPECT_THROW(read_config_file(path), BadConfig);
}

TEST(Config, AKeyIsThereOnce) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "tandem_config_once_test.json";
  const auto error_of = [&](const char* text) -> std::string {
    std::ofstream(path) << text;
    try {
      read_config_file(path);
    } catch (const BadConfig& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of(R"({"socket": {"path": "a"}, "log": {"path": "b"}, "list": [{"a": 1}, {"a": 2}]})"), "");
  EXPECT_THAT(error_of(R"({"threads": 3, "model": "m", "threads": 4})"),
              HasSubstr("\"threads\" is there twice"));
  EXPECT_THAT(error_of(R"({"socket": {"mode": "0600", "path": "a", "mode": "0666"}})"),
              HasSubstr("\"mode\""));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tandem::daemon
