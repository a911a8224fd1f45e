#include "ipc/sse_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;

const std::string kStream =
    ": progress 1/2\n\ndata: {\"a\":1}\n\nevent: x\ndata:two\ndata: lines\r\n\r\nid: 5\n\ndata: "
    "[DONE]\n\ndata: cut";

/// What comes out if `kStream` arrives in pieces of `size` bytes.
std::vector<std::string> seen_in_pieces(std::size_t size) {
  std::vector<std::string> seen;
  SseReader reader({[&](const std::string& data) {
                      seen.push_back(data);
                      return true;
                    },
                    [&](const std::string& comment) {
                      seen.push_back("# " + comment);
                      return true;
                    }});
  for (std::size_t i = 0; i < kStream.size(); i += size) EXPECT_TRUE(reader.feed(kStream.substr(i, size)));
  return seen;
}

TEST(SseReader, CutsEventsHoweverTheyArrive) {
  for (std::size_t size = 1; size <= kStream.size(); ++size) {
    EXPECT_THAT(seen_in_pieces(size), ElementsAre("# progress 1/2", "{\"a\":1}", "two\nlines", "[DONE]"))
        << size;
  }
}

TEST(SseReader, StopsWhereAHandlerSaysSo) {
  std::vector<std::string> seen;
  SseReader reader({[&](const std::string& data) {
                      seen.push_back(data);
                      return data != "b";
                    },
                    {}});
  EXPECT_FALSE(reader.feed(": c\n\ndata: a\n\ndata: b\n\ndata: c\n\n"));
  EXPECT_THAT(seen, ElementsAre("a", "b"));
}

}  // namespace
}  // namespace tandem::ipc
