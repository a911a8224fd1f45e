#include "ipc/tcp_socket.h"

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;

template <typename Task>
std::string error_of(const Task& task) {
  try {
    task();
  } catch (const SocketError& error) {
    return error.what();
  }
  return "no error";
}

TEST(TcpAddress, IsAnAddressAndAPort) {
  struct Case {
    const char* text;
    const char* canonical;
    bool loopback;
  };
  for (const Case& one :
       {Case{"127.0.0.1:8080", "127.0.0.1:8080", true}, Case{"127.9.9.9:1", "127.9.9.9:1", true},
        Case{"localhost:0", "127.0.0.1:0", true}, Case{"[::1]:65535", "[::1]:65535", true},
        Case{"[0:0::1]:80", "[::1]:80", true}, Case{"0.0.0.0:80", "0.0.0.0:80", false},
        Case{"[::]:80", "[::]:80", false}, Case{"192.168.1.5:80", "192.168.1.5:80", false},
        Case{"128.0.0.1:80", "128.0.0.1:80", false},
        Case{"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", false}}) {
    const TcpAddress address = parse_tcp_address(one.text);
    EXPECT_EQ(address.text(), one.canonical);
    EXPECT_EQ(address.loopback, one.loopback) << one.text;
  }
}

TEST(TcpAddress, RefusesWhatIsNone) {
  for (const char* text :
       {"", ":", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536",
        "127.0.0.1:80 ", "127.1:80", "::1:80", "[::1]", "[::1:80", "[]:80", "example.org:80",
        "http://127.0.0.1:80", "*:80", "127.0.0.1:99999999999999999999"}) {
    EXPECT_THROW(parse_tcp_address(text), BadListen) << text;
    EXPECT_THAT(error_of([text] { parse_tcp_address(text); }),
                HasSubstr("write 127.0.0.1:8080 or [::1]:8080"));
  }
}

TEST(ListenTcp, SaysWhichPortItGot) {
  TcpAddress address = parse_tcp_address("127.0.0.1:0");
  const Fd fd = listen_tcp(address);
  EXPECT_TRUE(fd);
  EXPECT_GT(address.port, 0);
}

TEST(ListenTcp, SaysWhyItCannot) {
  TcpAddress first = parse_tcp_address("127.0.0.1:0");
  const Fd fd = listen_tcp(first);
  TcpAddress second = first;
  EXPECT_THAT(error_of([&] { listen_tcp(second); }),
              HasSubstr(first.text() + ": another process listens at this port"));
  TcpAddress elsewhere = parse_tcp_address("192.0.2.1:8080");  // an address for documentation, nobody's
  EXPECT_THAT(error_of([&] { listen_tcp(elsewhere); }), HasSubstr("this machine has no such address"));
}

}  // namespace
}  // namespace tandem::ipc
