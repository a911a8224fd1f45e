#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "tests/ipc/harness.h"

namespace {

using namespace tandem::ipc::testing;

constexpr int kInputsAServer = 500;  // it keeps what it was sent, for tests to look at
constexpr int kFirstByteMs = 10'000;
constexpr int kNextByteMs = 50;  // some streams have no end: it is the client that leaves
constexpr std::size_t kEnoughBytes = 65536;

Harness& harness() {
  static std::unique_ptr<Harness> current;
  static int inputs = 0;
  if (inputs++ % kInputsAServer == 0) {
    current.reset();
    FakeOptions options;
    options.answer_tok = 40;
    current = std::make_unique<Harness>(tandem::ipc::Limits{}, options);
  }
  return *current;
}

/// What goes over the socket.  "METHOD PATH" alone in the first line stands for a whole request with the rest
/// as its body: JSON may change its length freely.  Everything else is sent as it is.
std::string wire(std::string_view input) {
  const auto line = input.substr(0, input.find('\n'));
  if (line.size() == input.size() || line.find(' ') == line.npos || line.find(" HTTP/") != line.npos) {
    return std::string(input);
  }
  const auto body = input.substr(line.size() + 1);
  return std::string(line) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

void require(bool holds, const char* what, const std::string& answer) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", what, answer.c_str());
  std::abort();
}

/// Sends `request` on a connection of its own and returns what comes until the server closes or one of the
/// limits above is reached.
std::string exchange(const std::string& path, std::string_view request) {
  const auto socket = tandem::ipc::connect_unix(path);
  while (!request.empty()) {
    const auto sent = ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;  // refused before its end
    request.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::shutdown(socket.get(), SHUT_WR);
  std::string answer;
  std::array<char, 65536> piece{};
  while (answer.size() < kEnoughBytes) {
    pollfd entry{socket.get(), POLLIN, 0};
    if (::poll(&entry, 1, answer.empty() ? kFirstByteMs : kNextByteMs) == 0) {
      require(!answer.empty(), "no answer", {});
      break;
    }
    const auto size = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (size <= 0) break;
    answer.append(piece.data(), static_cast<std::size_t>(size));
  }
  return answer;
}

}  // namespace

/// libFuzzer's entry: whatever a client sends over a connection, it gets an answer or is closed, and nothing
/// is worked on afterwards.  No request is an internal error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto& server = harness();
  const auto answer = exchange(server.path(), wire({reinterpret_cast<const char*>(data), size}));
  require(answer.empty() || answer.starts_with("HTTP/1.1 "), "not an answer", answer);
  require(!answer.starts_with("HTTP/1.1 500 "), "an internal error", answer);
  require(server.becomes_idle(), "still working", {});
  return 0;
}
