#include "model/tool_call_text.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "model/gemma4_values.h"
#include "model/ordered_json.h"

namespace tandem::model {
namespace {

using Json = nlohmann::json;

/// Reads a call in which every spelled quote mark is the token.
std::optional<ToolCall> read(const std::string& text) {
  std::vector<std::size_t> quotes;
  for (auto at = text.find(kQuoteMark); at != std::string::npos; at = text.find(kQuoteMark, at + 1)) {
    quotes.push_back(at);
  }
  return read_tool_call(text, quotes);
}

/// The arguments that `text` has, or null.
Json arguments(const std::string& text) {
  const auto call = read("call:f" + text);
  return call ? Json::parse(call->arguments) : Json();
}

TEST(ToolCallText, ReadsEveryKindOfValue) {
  EXPECT_EQ(read("call:get_time{}"), (ToolCall{"get_time", "{}"}));
  EXPECT_EQ(arguments(R"({s:<|"|>a, b: {c}<|"|>,n:-1.5e3,t:true,f:false,z:null,o:None})"),
            Json::parse(R"({"s":"a, b: {c}","n":-1500.0,"t":true,"f":false,"z":null,"o":null})"));
  EXPECT_EQ(arguments(R"({l:[1,[],{},{a:[<|"|><|"|>]}]})"), Json::parse(R"({"l":[1,[],{},{"a":[""]}]})"));
  EXPECT_EQ(arguments(R"({<|"|>k: 1<|"|>:1})"), Json::parse(R"({"k: 1":1})"));
  EXPECT_EQ(arguments("{ a : 1 ,\n b:[ 2 , 3 ] }"), Json::parse(R"({"a":1,"b":[2,3]})"));
}

TEST(ToolCallText, KeepsNumbersDigitByDigit) {
  EXPECT_EQ(read("call:f{a:123456789012345678901234567890,b:1.10}")->arguments,
            R"({"a":123456789012345678901234567890,"b":1.10})");
}

TEST(ToolCallText, EscapesWhatJsonEscapes) {
  EXPECT_EQ(arguments("{a:<|\"|>\"\\\n\t\x01<|\"|>}"), Json({{"a", "\"\\\n\t\x01"}}));
}

TEST(ToolCallText, WritesTextsAsTheLibraryDoes) {
  std::mt19937 random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (auto bytes = random() % 40; bytes > 0; --bytes) {
      text += static_cast<char>(random() % 3 == 0 ? random() % 0x30 : random());
    }
    const auto call = read("call:f{a:<|\"|>" + text + "<|\"|>}");
    ASSERT_TRUE(call);
    EXPECT_EQ(call->arguments, Json({{"a", text}}).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

TEST(ToolCallText, SpelledQuoteMarksAreText) {
  const std::string text = R"(call:f{a:<|"|>x<|"|>y<|"|>})";
  const auto first = text.find(kQuoteMark);
  const auto last = text.rfind(kQuoteMark);
  const auto call = read_tool_call(text, std::vector{first, last});
  ASSERT_TRUE(call);
  EXPECT_EQ(Json::parse(call->arguments), Json({{"a", R"(x<|"|>y)"}}));
  EXPECT_FALSE(read_tool_call(text, {}));
}

TEST(ToolCallText, RefusesEverythingElse) {
  for (const auto* text : {"",
                           "f{}",
                           "call:{}",
                           "call:f",
                           "call:f{",
                           "call:f}",
                           "call:f{}}",
                           "call:f{} x",
                           "call:f{a}",
                           "call:f{a:}",
                           "call:f{a:1,}",
                           "call:f{,a:1}",
                           "call:f{a:1 b:2}",
                           "call:f{a:1,a:2}",
                           "call:f{a:1e999}",
                           "call:f{a:word}",
                           "call:f{a:01}",
                           "call:f{a:+1}",
                           "call:f{a:.5}",
                           "call:f{a:1.}",
                           "call:f{a:1e}",
                           "call:f{a:-}",
                           "call:f{a:0x1}",
                           "call:f{a:NaN}",
                           "call:f{a:\"x\"}",
                           "call:f{a:[1}",
                           "call:f{a:[1,]}",
                           "call:f{a:[1 2]}",
                           "call:f{a:{b:1}",
                           "call:f{a:<|\"|>x}",
                           "call:f{a:<|\"|>x<|\"|>y}",
                           "call:f{a:x<|\"|>y<|\"|>}",
                           "call:f{a<|\"|>b<|\"|>:1}",
                           "call:f<|\"|>{}",
                           "call:f{a:True}",
                           "call f{}",
                           "call:f{a:1}<|\"|>",
                           "call:f{a:b:c}",
                           "call:f{a:{}x}"}) {
    EXPECT_FALSE(read(text)) << text;
  }
}

TEST(ToolCallText, RefusesNulBytesOutsideTexts) {
  EXPECT_FALSE(read(std::string("call:f{a:5\0}", 12)));
  EXPECT_FALSE(read(std::string("call:f{a:1}\0", 12)));
  EXPECT_FALSE(read(std::string("call:f{a:\0}", 11)));
}

TEST(ToolCallText, RefusesWhatIsNestedTooDeep) {
  const auto nested = [](std::size_t levels) {
    return "call:f{a:" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(read(nested(kCallDepth - 1)));
  EXPECT_FALSE(read(nested(kCallDepth)));
  EXPECT_FALSE(read(nested(1'000'000)));
}

/// The depth is that of the JSON: as many brackets as are open at once.
TEST(ToolCallText, NestingIsThatOfTheArguments) {
  struct Case {
    const char* text;
    std::size_t depth;
  };
  for (const auto& [text, depth] : {Case{"call:f{}", 1}, Case{"call:f{a:1}", 1}, Case{"call:f{a:[],b:{}}", 2},
                                    Case{"call:f{a:[1,[2]],b:{}}", 3}, Case{"call:f{a:{b:{c:{}}},d:1}", 4}}) {
    EXPECT_TRUE(read_tool_call(text, {}, depth)) << text;
    EXPECT_FALSE(read_tool_call(text, {}, depth - 1)) << text;
  }
}

TEST(ToolCallText, RefusesWhatNoRequestCouldSendBack) {
  for (const char* name : {"f", "get_time", "a-b.c:d/E9"})
    EXPECT_TRUE(read(std::string("call:") + name + "{}"));
  for (const char* name : {"get time", "größe", "f()", "a\nb", "a,b", "a}", "f\x7f", "\"f\""}) {
    EXPECT_FALSE(read(std::string("call:") + name + "{}")) << name;
  }
  EXPECT_TRUE(read("call:" + std::string(128, 'f') + "{}"));
  EXPECT_FALSE(read("call:" + std::string(129, 'f') + "{}"));

  const auto with_members = [](int count) {
    std::string text = "call:f{b:{";
    for (int i = 0; i < count; ++i) text += (i == 0 ? "k" : ",k") + std::to_string(i) + ":0";
    return text + "}}";
  };
  EXPECT_TRUE(read(with_members(1024)));
  EXPECT_FALSE(read(with_members(1025)));
}

/// Random values with keys that bare notation can carry.
class RandomJson {
 public:
  explicit RandomJson(std::uint32_t seed) : random_(seed) {}

  OrderedJson map(int depth) {
    auto object = OrderedJson::object();
    for (int i = below(4); i > 0; --i) object[key()] = value(depth + 1);
    return object;
  }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<std::uint32_t>(limit)); }

  std::string key() {
    const char* const keys[] = {"a", "B", "snake_case", "with space", "ünï", "x<y", "\"q\"", "0", "-"};
    return keys[below(std::size(keys))];
  }

  std::string text() {
    const char* const parts[] = {"a", " ",  "\n", "{",    "}",  ":",  ",",   "[",
                                 "]", "\"", "\\", "日本", "<|", "|>", "\x7f"};
    std::string text;
    for (int i = below(6); i > 0; --i) text += parts[below(std::size(parts))];
    return text;
  }

  OrderedJson number() {
    if (below(2) == 0) return static_cast<std::int64_t>(random_()) - (std::int64_t{1} << 31);
    return std::ldexp(static_cast<double>(random_()) - 2e9, below(200) - 100);
  }

  OrderedJson value(int depth) {
    switch (below(depth < 5 ? 7 : 5)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return number();
      case 3:
      case 4:
        return text();
      case 5:
        return map(depth);
      default: {
        auto list = OrderedJson::array();
        for (int i = below(4); i > 0; --i) list.push_back(value(depth + 1));
        return list;
      }
    }
  }

  std::mt19937 random_;
};

TEST(ToolCallText, RenderedArgumentsReadBackAsTheSameJson) {
  RandomJson random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto value = random.map(0);
    for (const bool null_is_none : {false, true}) {
      Gemma4Rules rules;
      rules.null_is_none = null_is_none;
      PieceWriter out;
      Gemma4Values(rules, out).write(value, Gemma4Values::Keys::bare);
      EXPECT_EQ(arguments(text_of(out.take())), Json(value)) << value;
    }
  }
}

TEST(ToolCallText, AReaderReadsOneCallAfterAnother) {
  const std::vector<std::pair<std::string, bool>> texts = {{"call:f{a:1,b:{a:2,c:{}},c:[{a:1},{a:1}]}", true},
                                                           {"call:f{a:1,b:{a:2,a:3}}", false},
                                                           {"call:g{b:{a:1},a:2,b:3}", false},
                                                           {"call:g{b:{b:1},a:2}", true},
                                                           {"call:h{}", true},
                                                           {"call:h{:1,a:{:2}}", true}};
  ToolCallReader reader(kCallDepth);
  ToolCall call;
  for (const auto& [text, is_call] : texts) {
    ASSERT_EQ(reader.read(text, {}, call), is_call) << text;
    if (!is_call) continue;
    EXPECT_EQ(call, read(text)) << text;
  }
  EXPECT_FALSE(ToolCallReader(1).read("call:f{a:{}}", {}, call));
}

TEST(ToolCallText, NoTextNeedsMoreRoomThanThereIs) {
  auto call = tool_call_with_room();
  ToolCallReader reader(kMostCallBytes);
  const auto* const at = call.arguments.data();
  const auto fits = [&](const std::string& text, const std::vector<std::size_t>& quotes) {
    ASSERT_LE(text.size(), kMostCallBytes);
    EXPECT_TRUE(reader.read(text, quotes, call));
    EXPECT_EQ(call.arguments.data(), at);
  };
  const std::string begin = "call:f{a:<|\"|>";
  const std::string controls(kMostCallBytes - begin.size() - kQuoteMark.size() - 1, '\x01');
  fits(begin + controls + std::string(kQuoteMark) + "}",
       {begin.size() - kQuoteMark.size(), begin.size() + controls.size()});
  constexpr int kDeep = 256;  // as deep as a configuration allows
  std::string nested;
  for (int i = 0; i < kDeep; ++i) nested += "{:";
  fits("call:f" + nested + "1" + std::string(kDeep, '}'), {});
}

}  // namespace
}  // namespace tandem::model
