#include "ipc/stream_text.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TEST(Sse, IsOneLineAndAnEmptyOne) {
  EXPECT_EQ(sse_event({{"text", "a\nb"}}), "data: {\"text\":\"a\\nb\"}\n\n");
  EXPECT_EQ(sse_event("message_stop", {{"type", "message_stop"}}),
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
  EXPECT_EQ(sse_comment("progress 1/2"), ": progress 1/2\n\n");
}

TEST(JsonLine, HasNoNewlineButTheLast) {
  EXPECT_EQ(json_line({{"response", "a\nb"}}), "{\"response\":\"a\\nb\"}\n");
}

}  // namespace
}  // namespace tandem::ipc
