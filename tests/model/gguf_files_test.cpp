#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "model/gguf.h"
#include "model/mapped_file.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/process_memory.h"
#include "tests/support/temp_dir.h"

namespace tandem::model {
namespace {

using test_support::GgufBytes;
using test_support::key_string;
using test_support::key_u32;
using test_support::key_value;
using test_support::le;
using test_support::TempDir;
using test_support::tensor_entry;
using testing::HasSubstr;

/// What reading `path` throws.
template <typename E>
std::string message_of(const std::filesystem::path& path) {
  try {
    read_header(path);
  } catch (const E& error) {
    return error.what();
  }
  return "nothing of this type was thrown";
}

GgufBytes split_part(std::uint16_t no, std::uint16_t count) {
  GgufBytes file;
  file.keys = {key_value("split.no", 2, le(no)), key_value("split.count", 2, le(count)),
               key_value("split.tensors.count", 5, le<std::int32_t>(3))};
  if (no == 0) file.keys.push_back(key_string("general.architecture", "gemma4"));
  return file;
}

/// A model of three files; the first has no tensors.
class SplitModel : public testing::Test {
 protected:
  SplitModel() {
    parts_[1].tensors = {tensor_entry("a", {16}, 0, 0), tensor_entry("b", {16}, 0, 64)};
    parts_[1].data = std::string(64, 'a') + std::string(64, 'b');
    parts_[2].tensors = {tensor_entry("c", {8}, 0, 0)};
    parts_[2].data = std::string(32, 'c');
  }

  std::filesystem::path write() {
    for (std::size_t i = 0; i < parts_.size(); ++i) paths_[i] = dir_.write(names_[i], parts_[i].bytes());
    return paths_[0];
  }

  TempDir dir_;
  std::array<std::string, 3> names_{"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                    "m-00003-of-00003.gguf"};
  std::array<GgufBytes, 3> parts_{split_part(0, 3), split_part(1, 3), split_part(2, 3)};
  std::array<std::filesystem::path, 3> paths_;
};

TEST_F(SplitModel, PartsAreReadTogether) {
  const auto header = read_header(write());
  ASSERT_EQ(header.parts.size(), 3U);
  ASSERT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.tensor_bytes, 160U);
  EXPECT_EQ(header.missing_bytes, 0U);
  EXPECT_EQ(header.find_string("general.architecture"), "gemma4");
  EXPECT_EQ(header.find_tensor("b")->part, 1U);
  EXPECT_EQ(header.find_tensor("c")->part, 2U);
  EXPECT_EQ(header.data(*header.find_tensor("b"))[0], std::byte{'b'});
  EXPECT_EQ(header.data(*header.find_tensor("c"))[31], std::byte{'c'});
}

TEST_F(SplitModel, DataOfALaterPartMayBeMissing) {
  const auto path = write();
  std::filesystem::resize_file(paths_[2], parts_[2].header().size());
  const auto header = read_header(path);
  EXPECT_EQ(header.missing_bytes, 32U);
  EXPECT_THROW((void)header.data(*header.find_tensor("c")), BadModel);
}

TEST_F(SplitModel, AMissingPartIsNamed) {
  const auto path = write();
  std::filesystem::remove(paths_[1]);
  EXPECT_THAT(message_of<Error>(path), HasSubstr("m-00002-of-00003.gguf: cannot open"));
}

TEST_F(SplitModel, OnlyTheFirstPartStandsForTheModel) {
  write();
  EXPECT_THAT(message_of<BadModel>(paths_[1]), HasSubstr("give the first part"));
}

TEST_F(SplitModel, AnotherNumberOfPartsIsRefused) {
  parts_[2].keys[1] = key_value("split.count", 2, le<std::uint16_t>(4));
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("split.count: 4, part 1 says 3"));
}

TEST_F(SplitModel, AFileThatIsNoPartIsRefused) {
  parts_[2].keys.clear();
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("split.count: 1, part 1 says 3"));
}

TEST_F(SplitModel, APartInTheWrongPlaceIsRefused) {
  std::swap(parts_[1], parts_[2]);
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("split.no: 2, expected 1"));
}

TEST_F(SplitModel, AnotherNumberOfTensorsIsRefused) {
  parts_[0].keys[2] = key_value("split.tensors.count", 5, le<std::int32_t>(4));
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("split.tensors.count: 4, the parts have 3"));
}

TEST_F(SplitModel, ATensorInTwoPartsIsRefused) {
  parts_[2].tensors = {tensor_entry("a", {8}, 0, 0)};
  const auto message = message_of<BadModel>(write());
  EXPECT_THAT(message, HasSubstr("tensor a: name occurs twice"));
  EXPECT_THAT(message, HasSubstr("-of-00003.gguf"));
}

TEST_F(SplitModel, TheFileOfATensorIsItsPart) {
  const auto path = write();
  std::filesystem::resize_file(paths_[2], parts_[2].header().size());
  const auto header = read_header(path);
  EXPECT_EQ(header.file_of(*header.find_tensor("b")), paths_[1].string());
  EXPECT_EQ(header.file_of(*header.find_tensor("c")), paths_[2].string());
  const auto bytes = parts_[1].bytes();
  const auto parsed = parse_header("in memory", std::as_bytes(std::span(bytes)), nullptr);
  EXPECT_EQ(parsed.file_of(*parsed.find_tensor("b")), "in memory");
}

TEST_F(SplitModel, NumbersOutOfRangeAreRefused) {
  parts_[0].keys[0] = key_value("split.no", 2, le<std::uint16_t>(3));
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("split.no: 3 of 3 parts"));
  parts_[0].keys[1] = key_u32("split.count", 100'000);
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("limits are 1 and 99999"));
  parts_[0].keys[1] = key_u32("split.count", 0);
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("limits are 1 and 99999"));
}

TEST_F(SplitModel, TheNameMustTellWhereTheOthersAre) {
  names_[0] = "renamed.gguf";
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("must have a name that ends in -00001-of-00003.gguf"));
}

TEST_F(SplitModel, SizesOfAllPartsTogetherDoNotWrap) {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].tensors = {tensor_entry("huge" + std::to_string(i), {(1ULL << 61) - 1024}, 0, 0)};
  }
  EXPECT_THAT(message_of<BadModel>(write()), HasSubstr("limit of 2^64 - 1 bytes"));
}

TEST(GgufFile, WhatIsNotAFileIsRefused) {
  const TempDir dir;
  EXPECT_THAT(message_of<Error>(dir.path() / "absent.gguf"),
              HasSubstr("absent.gguf: cannot open: No such file"));
  EXPECT_THAT(message_of<Error>(dir.path()), HasSubstr("not a regular file"));
  EXPECT_THAT(message_of<BadModel>(dir.write("empty.gguf", "")), HasSubstr("empty.gguf: byte 0: magic"));
}

TEST(GgufFile, ASingleFileMayCallItselfPartOneOfOne) {
  const TempDir dir;
  auto file = split_part(0, 1);
  const auto header = read_header(dir.write("any-name.gguf", file.bytes()));
  EXPECT_EQ(header.parts.size(), 1U);
}

TEST(GgufFile, ACopyOfAHeaderKeepsItsFileMapped) {
  const TempDir dir;
  GgufBytes file;
  file.keys = {key_string("general.name", "kept")};
  file.tensors = {tensor_entry("a", {8}, 0, 0)};
  file.data = std::string(32, 'x');
  Header copy;
  {
    const auto header = read_header(dir.write("m.gguf", file.bytes()));
    copy = header;
  }
  EXPECT_EQ(copy.find_string("general.name"), "kept");
  EXPECT_EQ(copy.data(copy.tensors[0])[31], std::byte{'x'});
}

TEST(MappedFile, MovesLeaveNothingBehind) {
  const TempDir dir;
  MappedFile first(dir.write("f", "abc"));
  MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().size(), 3U);
  MappedFile third(dir.write("g", "defg"));
  third = std::move(second);
  EXPECT_EQ(third.bytes().size(), 3U);
  EXPECT_EQ(third.bytes()[0], std::byte{'a'});
  std::array<std::byte, 2> read{};
  third.read(1, read);
  EXPECT_EQ(read[1], std::byte{'c'});
}

TEST(MappedFile, ReadingTouchesNoPageOfTheMapping) {
  const TempDir dir;
  const auto path = dir.write("f", std::string(5'000'000, 'a'));
  const MappedFile file(path);
  std::vector<std::byte> read(4'000'000);
  file.read(500'000, read);
  EXPECT_EQ(std::ranges::count(read, std::byte{'a'}), 4'000'000);
  EXPECT_EQ(test_support::mapped_resident_bytes(path), 0U);
  file.read(5'000'000, {});
}

TEST(MappedFile, AnotherFileOfItsNameIsNotRead) {
  const TempDir dir;
  const auto path = dir.write("f", "first");
  const MappedFile file(path);
  std::filesystem::rename(dir.write("g", "other"), path);
  std::array<std::byte, 5> read{};
  file.read(0, read);
  EXPECT_TRUE(std::ranges::equal(read, file.bytes()));
  EXPECT_EQ(read[0], std::byte{'f'});
}

TEST(MappedFile, WhatCannotBeReadIsAnErrorThatSaysWhereAndWhy) {
  const TempDir dir;
  const auto path = dir.write("f", std::string(100'000, 'a'));
  const MappedFile file(path);
  std::vector<std::byte> read(50'000);
  const auto message_at = [&](std::uint64_t offset_bytes) -> std::string {
    try {
      file.read(offset_bytes, read);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(message_at(50'000), "");
  EXPECT_EQ(message_at(50'001), path.string() + ": ends before byte 100001");
  std::filesystem::resize_file(path, 70'000);
  EXPECT_EQ(message_at(20'000), "");
  EXPECT_EQ(message_at(20'001), path.string() + ": ends before byte 70001");
  EXPECT_EQ(message_at(std::uint64_t{1} << 63),
            path.string() + ": cannot read from byte 9223372036854775808: Invalid argument");
}

/// As of a disk that fails: nothing is at this process's first address.
TEST(MappedFile, AnErrorOfStorageIsSaid) {
  const MappedFile file("/proc/self/mem");
  std::array<std::byte, 8> read{};
  EXPECT_THAT([&] { file.read(0, read); },
              testing::ThrowsMessage<Error>("/proc/self/mem: cannot read from byte 0: Input/output error"));
}

TEST(MappedFile, SaysThatItWasWrittenToSinceItWasOpened) {
  const TempDir dir;
  const auto open = [&] {
    const auto path = dir.write("f", "abc");
    std::filesystem::last_write_time(path,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    return MappedFile(path);
  };
  const auto file = open();
  EXPECT_NO_THROW(file.check_unchanged());
  static_cast<void>(dir.write("f", "abd"));
  EXPECT_THROW(file.check_unchanged(), Error);
  const auto renamed = open();
  std::filesystem::rename(dir.path() / "f", dir.path() / "g");
  EXPECT_NO_THROW(renamed.check_unchanged()) << "it is the same file";
}

TEST_F(SplitModel, WhatIsReadOfATensorIsWhatIsMapped) {
  const auto header = read_header(write());
  for (const auto& tensor : header.tensors) {
    const auto mapped = header.data(tensor);
    std::vector<std::byte> read(mapped.size() - 3);
    header.read(tensor, 3, read);
    EXPECT_TRUE(std::ranges::equal(read, mapped.subspan(3))) << tensor.name;
  }
}

TEST(GgufFile, ATensorOfAHeaderInMemoryIsReadThere) {
  GgufBytes file;
  file.keys = {key_string("general.name", "no file")};
  file.tensors = {tensor_entry("a", {8}, 0, 0)};
  file.data = std::string(31, 'x') + "y";
  const auto bytes = file.bytes();
  const auto header = parse_header("memory", std::as_bytes(std::span(bytes)), nullptr);
  std::array<std::byte, 2> read{};
  header.read(header.tensors[0], 30, read);
  EXPECT_EQ(read, (std::array{std::byte{'x'}, std::byte{'y'}}));
}

}  // namespace
}  // namespace tandem::model
