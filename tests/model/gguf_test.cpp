#include "model/gguf.h"

#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/support/gguf_bytes.h"

namespace tandem::model {
namespace {

using test_support::gguf_string;
using test_support::GgufBytes;
using test_support::key_array;
using test_support::key_bool;
using test_support::key_f32;
using test_support::key_string;
using test_support::key_u32;
using test_support::key_value;
using test_support::le;
using test_support::tensor_entry;
using testing::ElementsAre;
using testing::HasSubstr;

Header parse(const std::string& bytes) {
  const auto storage = std::make_shared<const std::string>(bytes);
  return parse_header("test.gguf", std::as_bytes(std::span(*storage)), storage);
}

/// Two tensors of 64 bytes each with their data, and a key of every kind.
GgufBytes valid() {
  GgufBytes file;
  file.keys = {
      key_string("general.architecture", "gemma4"),
      key_value("n.u8", 0, le<std::uint8_t>(200)),
      key_value("n.i8", 1, le<std::int8_t>(-100)),
      key_value("n.u16", 2, le<std::uint16_t>(60'000)),
      key_value("n.i16", 3, le<std::int16_t>(-30'000)),
      key_u32("n.u32", 4'000'000'000U),
      key_value("n.i32", 5, le<std::int32_t>(7)),
      key_f32("n.f32", 1.5f),
      key_bool("n.bool", true),
      key_value("n.u64", 10, le(std::numeric_limits<std::uint64_t>::max())),
      key_value("n.i64", 11, le(std::numeric_limits<std::int64_t>::min())),
      key_value("n.f64", 12, le(1e300)),
      key_array("a.strings", 8, 3, gguf_string("one") + gguf_string("") + gguf_string("three")),
      key_array("a.i16", 3, 2, le<std::int16_t>(-1) + le<std::int16_t>(9)),
      key_array("a.u64", 10, 1, le(std::numeric_limits<std::uint64_t>::max())),
      key_array("a.f32", 6, 2, le(0.5f) + le(-2.0f)),
      key_array("a.bool", 7, 3, std::string("\1\0\1", 3)),
      key_array("a.empty", 4, 0, ""),
  };
  file.tensors = {tensor_entry("first", {8, 2}, 0, 0), tensor_entry("second", {16}, 0, 64)};
  file.data = std::string(64, 'a') + std::string(64, 'b');
  return file;
}

TEST(Gguf, ReadsVersions2And3) {
  for (const std::uint32_t version : {2U, 3U}) {
    auto file = valid();
    file.version = version;
    const auto header = parse(file.bytes());
    ASSERT_EQ(header.tensors.size(), 2U);
    EXPECT_EQ(header.metadata.size(), file.keys.size());
    EXPECT_EQ(header.tensor_bytes, 128U);
    EXPECT_EQ(header.missing_bytes, 0U);
  }
}

TEST(Gguf, WidensEveryScalarType) {
  const auto header = parse(valid().bytes());
  EXPECT_EQ(header.find_uint("n.u8"), 200U);
  EXPECT_EQ(header.find_number("n.i8"), -100.0);
  EXPECT_EQ(header.find_uint("n.u16"), 60'000U);
  EXPECT_EQ(header.find_number("n.i16"), -30'000.0);
  EXPECT_EQ(header.find_uint("n.u32"), 4'000'000'000U);
  EXPECT_EQ(header.find_uint("n.i32"), 7U);
  EXPECT_EQ(header.find_number("n.f32"), 1.5);
  EXPECT_EQ(header.find_bool("n.bool"), true);
  EXPECT_EQ(header.find_uint("n.u64"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(header.find_number("n.i64"), -0x1p63);
  EXPECT_EQ(header.find_number("n.f64"), 1e300);
  EXPECT_EQ(header.find_string("general.architecture"), "gemma4");
  EXPECT_EQ(header.find_string("absent"), std::nullopt);
  EXPECT_EQ(header.find("absent"), nullptr);
}

TEST(Gguf, DecodesArraysOnDemand) {
  const auto header = parse(valid().bytes());
  EXPECT_THAT(*header.find_strings("a.strings"), ElementsAre("one", "", "three"));
  EXPECT_THAT(*header.find_integers("a.i16"), ElementsAre(-1, 9));
  EXPECT_THAT(*header.find_numbers("a.i16"), ElementsAre(-1.0, 9.0));
  EXPECT_THAT(*header.find_numbers("a.f32"), ElementsAre(0.5, -2.0));
  EXPECT_THAT(*header.find_booleans("a.bool"), ElementsAre(true, false, true));
  EXPECT_TRUE(header.find_integers("a.empty")->empty());
  EXPECT_EQ(header.find_strings("absent"), std::nullopt);
}

TEST(Gguf, WrongKindOfValueNamesFileOffsetAndKey) {
  const auto bytes = valid().bytes();
  const auto header = parse(bytes);
  EXPECT_THROW((void)header.find_uint("n.i8"), BadModel);
  EXPECT_THROW((void)header.find_uint("n.f32"), BadModel);
  EXPECT_THROW((void)header.find_number("n.bool"), BadModel);
  EXPECT_THROW((void)header.find_bool("n.u8"), BadModel);
  EXPECT_THROW((void)header.find_string("a.strings"), BadModel);
  EXPECT_THROW((void)header.find_strings("a.f32"), BadModel);
  EXPECT_THROW((void)header.find_integers("a.u64"), BadModel);
  EXPECT_THROW((void)header.find_integers("a.strings"), BadModel);
  EXPECT_THROW((void)header.find_numbers("a.bool"), BadModel);
  EXPECT_THROW((void)header.find_booleans("n.bool"), BadModel);
  const auto offset = bytes.find("n.f32") + 5 + 4;
  try {
    (void)header.find_uint("n.f32");
    FAIL();
  } catch (const BadModel& error) {
    EXPECT_EQ(std::string(error.what()), "test.gguf: byte " + std::to_string(offset) +
                                             ": n.f32: is a float, expected an unsigned integer");
  }
  try {
    (void)header.find_integers("a.f32");
    FAIL();
  } catch (const BadModel& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("is an array of f32, expected an array of integers"));
  }
}

TEST(Gguf, DirectoryEntriesPointAtTheirData) {
  auto file = valid();
  const auto header = parse(file.bytes());
  const auto* second = header.find_tensor("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->dims, (std::array<std::uint64_t, 4>{16, 1, 1, 1}));
  EXPECT_EQ(second->n_dims, 1U);
  EXPECT_EQ(second->size_bytes, 64U);
  EXPECT_EQ(second->offset_bytes, file.bytes().size() - 64);
  EXPECT_EQ(header.data(*second)[0], std::byte{'b'});
  EXPECT_EQ(header.data(*header.find_tensor("first"))[63], std::byte{'a'});
  EXPECT_EQ(header.find_tensor("third"), nullptr);
}

TEST(Gguf, AlignmentMovesTheDataSection) {
  auto file = valid();
  file.alignment = 256;
  file.keys.push_back(key_u32("general.alignment", 256));
  file.tensors = {tensor_entry("first", {8, 2}, 0, 0), tensor_entry("second", {16}, 0, 256)};
  file.data.resize(256 + 64, 'c');
  const auto header = parse(file.bytes());
  EXPECT_EQ(header.find_tensor("first")->offset_bytes % 256, 0U);
  EXPECT_EQ(header.data(*header.find_tensor("second"))[0], std::byte{'c'});
}

TEST(Gguf, CutOffDataIsCountedAndRefusedOnlyWhenAskedFor) {
  auto file = valid();
  auto bytes = file.bytes();
  bytes.resize(bytes.size() - 10);
  auto header = parse(bytes);
  EXPECT_EQ(header.missing_bytes, 10U);
  EXPECT_TRUE(header.has_data(*header.find_tensor("first")));
  EXPECT_FALSE(header.has_data(*header.find_tensor("second")));
  EXPECT_NO_THROW((void)header.data(*header.find_tensor("first")));
  EXPECT_THROW((void)header.data(*header.find_tensor("second")), BadModel);
  header = parse(file.header());
  EXPECT_EQ(header.missing_bytes, 128U);
  EXPECT_EQ(header.tensor_bytes, 128U);
}

TEST(Gguf, EveryCutInsideTheHeaderIsReported) {
  const auto bytes = valid().header();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(parse(bytes.substr(0, size)), BadModel) << size;
  }
}

/// One file that breaks one rule, and what the message must say.
struct Violation {
  std::string name;
  std::function<void(GgufBytes&)> spoil;
  std::string field;
  std::string problem;
};

void PrintTo(const Violation& violation, std::ostream* out) {
  *out << violation.name;
}

std::string name_of(const testing::TestParamInfo<Violation>& test) {
  return test.param.name;
}

class GgufViolation : public testing::TestWithParam<Violation> {};

TEST_P(GgufViolation, IsRefusedWithFieldAndLimit) {
  const auto& violation = GetParam();
  auto file = valid();
  violation.spoil(file);
  try {
    parse(file.bytes());
    FAIL() << "accepted";
  } catch (const BadModel& error) {
    EXPECT_THAT(error.what(), HasSubstr("test.gguf: byte "));
    EXPECT_THAT(error.what(), HasSubstr(violation.field + ": "));
    EXPECT_THAT(error.what(), HasSubstr(violation.problem));
  }
}

Violation with_key(std::string name, const std::string& pair, std::string field, std::string problem) {
  return {std::move(name), [pair](GgufBytes& file) { file.keys.push_back(pair); }, std::move(field),
          std::move(problem)};
}

Violation with_tensor(std::string name, const std::string& entry, std::string problem) {
  return {std::move(name), [entry](GgufBytes& file) { file.tensors.push_back(entry); }, "tensor bad",
          std::move(problem)};
}

constexpr auto kHuge = std::numeric_limits<std::uint64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Limits, GgufViolation,
    testing::Values(
        Violation{"Magic", [](GgufBytes& f) { f.magic = 0x46554748; }, "magic", "not a GGUF file"},
        Violation{"Version0", [](GgufBytes& f) { f.version = 0; }, "version", "only 2 and 3"},
        Violation{"Version1", [](GgufBytes& f) { f.version = 1; }, "version", "only 2 and 3"},
        Violation{"Version4", [](GgufBytes& f) { f.version = 4; }, "version", "only 2 and 3"},
        Violation{"BigEndian", [](GgufBytes& f) { f.version = 0x03000000; }, "version", "big-endian"},
        Violation{"TensorCountBeyondFile", [](GgufBytes& f) { f.tensor_count = 10'000; }, "tensor_count",
                  "do not fit the file"},
        Violation{"TensorCountBeyondLimit", [](GgufBytes& f) { f.tensor_count = kHuge; }, "tensor_count",
                  "limit of 65536"},
        Violation{"KeyCountBeyondFile", [](GgufBytes& f) { f.key_count = 10'000; }, "kv_count",
                  "do not fit the file"},
        Violation{"KeyCountBeyondLimit", [](GgufBytes& f) { f.key_count = 1ULL << 63; }, "kv_count",
                  "limit of 65536"},
        with_key("EmptyKey", key_u32("", 1), "key", "limits are 1 and 65535"),
        with_key("LongKey", key_u32(std::string(65'536, 'k'), 1), "key", "limits are 1 and 65535"),
        with_key("DuplicateKey", key_u32("n.u32", 1), "n.u32", "duplicate key"),
        with_key("KeyLengthBeyondFile", le(kHuge) + "key", "key", "limit is 1 GiB"),
        with_key("UnknownValueType", key_value("k", 13, le<std::uint64_t>(0)), "k",
                 "value type 13, limit is 12"),
        with_key("StringBeyondFile", key_value("k", 8, le<std::uint64_t>(1'000'000) + "abc"), "k",
                 "string of 1000000 bytes"),
        with_key("StringBeyondLimit", key_value("k", 8, le((1ULL << 30) + 1) + "abc"), "k", "limit is 1 GiB"),
        with_key("StringLengthWraps", key_value("k", 8, le(kHuge) + "abc"), "k", "limit is 1 GiB"),
        with_key("BadBool", key_value("k", 7, "\2"), "k", "bool of value 2, limit is 1"),
        with_key("BadBoolInArray", key_array("k", 7, 3, std::string("\1\0\3", 3)), "k", "bool of value 3"),
        with_key("ArrayOfArrays", key_array("k", 9, 1, le<std::uint32_t>(4) + le<std::uint64_t>(0)), "k",
                 "array of arrays"),
        with_key("UnknownElementType", key_array("k", 13, 1, "12345678"), "k", "value type 13"),
        with_key("ArrayBeyondFile", key_array("k", 4, 1'000'000, "1234"), "k",
                 "array of 1000000 elements needs more than the"),
        with_key("ArrayCountWraps", key_array("k", 10, 1ULL << 61, "1234"), "k", "exceeds the limit"),
        with_key("StringArrayCountBeyondFile", key_array("k", 8, 1ULL << 40, gguf_string("a")), "k",
                 "exceeds the limit"),
        with_key("StringInArrayBeyondFile", key_array("k", 8, 2, gguf_string("a") + le(kHuge)), "k",
                 "string of 18446744073709551615 bytes"),
        with_key("AlignmentNotAPowerOfTwo", key_u32("general.alignment", 48), "general.alignment",
                 "not a power of two"),
        with_key("AlignmentZero", key_u32("general.alignment", 0), "general.alignment", "not a power of two"),
        with_key("AlignmentNotU32", key_value("general.alignment", 10, le(1ULL << 33)), "general.alignment",
                 "not a power of two"),
        with_key("AlignmentOfAnotherKind", key_string("general.alignment", "32"), "general.alignment",
                 "not a power of two"),
        Violation{"TensorNameEmpty", [](GgufBytes& f) { f.tensors.push_back(tensor_entry("", {4}, 0, 128)); },
                  "tensor name", "limits are 1 and 63"},
        Violation{"TensorNameLong",
                  [](GgufBytes& f) { f.tensors.push_back(tensor_entry(std::string(64, 'n'), {4}, 0, 128)); },
                  "tensor name", "limits are 1 and 63"},
        Violation{"TensorNameTwice",
                  [](GgufBytes& f) { f.tensors.push_back(tensor_entry("first", {4}, 0, 128)); },
                  "tensor first", "occurs twice"},
        with_tensor("NoDimensions", tensor_entry("bad", {}, 0, 128), "0 dimensions, limits are 1 and 4"),
        with_tensor("FiveDimensions", tensor_entry("bad", {1, 1, 1, 1, 1}, 0, 128), "5 dimensions"),
        with_tensor("NegativeDimension", tensor_entry("bad", {1ULL << 63}, 0, 128), "2^63 - 1 elements"),
        with_tensor("ElementsWrap", tensor_entry("bad", {1ULL << 32, 1ULL << 32}, 0, 128),
                    "2^63 - 1 elements"),
        with_tensor("ElementsWrapToSmall", tensor_entry("bad", {1ULL << 62, 4, 3}, 0, 128),
                    "2^63 - 1 elements"),
        with_tensor("NegativeDimensionTimesZero", tensor_entry("bad", {0, kHuge}, 0, 128),
                    "2^63 - 1 elements"),
        with_tensor("BytesExceedSigned", tensor_entry("bad", {1ULL << 62}, 0, 128), "2^63 - 1 bytes"),
        with_tensor("RowsNotWholeBlocks", tensor_entry("bad", {48, 2}, 2, 128),
                    "not whole blocks of 32 (Q4_0)"),
        with_tensor("OffsetNotAligned", tensor_entry("bad", {8}, 0, 130),
                    "not a multiple of the alignment 32"),
        with_tensor("OffsetWraps", tensor_entry("bad", {8}, 0, kHuge - 31), "2^63 - 1 bytes"),
        with_tensor("OffsetExceedsSigned", tensor_entry("bad", {8}, 0, 1ULL << 63), "2^63 - 1 bytes"),
        with_tensor("Overlap", tensor_entry("bad", {8}, 0, 96), "overlaps"),
        Violation{"OverlapOfWhatComesFirst",
                  [](GgufBytes& f) { f.tensors.insert(f.tensors.begin(), tensor_entry("bad", {32}, 0, 0)); },
                  "tensor first", "overlaps"}),
    name_of);

TEST(Gguf, TypesTandemCannotComputeWithAreNamed) {
  for (const auto& [id, name] : {std::pair{16U, "IQ2_XXS"}, {26U, "I32"}, {4U, "type 4"}, {97U, "type 97"}}) {
    auto file = valid();
    file.tensors.push_back(tensor_entry("bad", {256}, id, 128));
    try {
      parse(file.bytes());
      FAIL() << id;
    } catch (const UnsupportedModel& error) {
      EXPECT_THAT(error.what(), HasSubstr("tensor bad"));
      EXPECT_THAT(error.what(), HasSubstr(name));
      EXPECT_THAT(error.hint(), HasSubstr("Q4_K"));
    }
  }
}

TEST(Gguf, MessagesShowNoControlCharacters) {
  auto file = valid();
  file.keys.push_back(key_value("bad\x1b[31m\n" + std::string(200, 'x'), 99, ""));
  try {
    parse(file.bytes());
    FAIL();
  } catch (const BadModel& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad?[31m?xxx"));
    EXPECT_LT(std::string_view(error.what()).size(), 200U);
  }
}

TEST(Gguf, SumsOverTensorsDoNotWrap) {
  auto file = valid();
  file.tensors.clear();
  // Each ends just below 2^63, so two would already overlap: only the parts of a split model can wrap the
  // sum.
  file.tensors.push_back(tensor_entry("huge", {(1ULL << 61) - 1024}, 0, 0));
  const auto header = parse(file.bytes());
  EXPECT_EQ(header.tensor_bytes, ((1ULL << 61) - 1024) * 4);
  EXPECT_EQ(header.missing_bytes, header.tensor_bytes - 128);
}

}  // namespace
}  // namespace tandem::model
