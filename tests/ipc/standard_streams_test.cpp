#include "ipc/standard_streams.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

/// In a process of its own that has only those streams whose numbers are in `open`: 0 if all goes well.
int outcome_with(const std::vector<int>& open) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (int stream = 0; stream < 3; ++stream) ::close(stream);
    for (const int stream : open) {  // ascending, so that each gets its number back
      while (::open("/dev/null", O_RDWR) < stream) continue;
    }
    for (int stream = 0; stream < 3; ++stream) {
      if (std::find(open.begin(), open.end(), stream) == open.end()) ::close(stream);
    }
    occupy_standard_streams();
    char byte = 'x';
    const auto works = [&](int stream) {
      return stream == 0 ? ::read(stream, &byte, 1) == 0 : ::write(stream, &byte, 1) == 1;
    };
    for (int stream = 0; stream < 3; ++stream) {
      const bool was_open = std::find(open.begin(), open.end(), stream) != open.end();
      if (works(stream) != was_open) ::_exit(10 + stream);
    }
    ::_exit(::open("/dev/null", O_RDWR) > 2 ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(StandardStreams, NothingElseGetsTheNumberOfAClosedOne) {
  for (const auto& open :
       std::vector<std::vector<int>>{{}, {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}}) {
    EXPECT_EQ(outcome_with(open), 0) << ::testing::PrintToString(open);
  }
}

}  // namespace
}  // namespace tandem::ipc
