// The server at a TCP port: what differs from the Unix socket.
#include <arpa/inet.h>
#include <fstream>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;

const std::string kKey = "alice-0123456789abcdef";

/// A server at a socket and at a free port.
class TcpServer : public ::testing::Test {
 protected:
  void serve(bool with_keys, const Limits& limits = {}) {
    ServerOptions options;
    options.socket.path = directory_.file("s");
    options.limits = limits;
    options.access_log = [this](const AccessRecord& record) {
      const std::lock_guard lock(log_mutex_);
      log_.push_back(record);
    };
    options.tcp = TcpOptions{"127.0.0.1:0", {}, {}, {"http://localhost:3000"}};
    if (with_keys) options.tcp->keys = keys();
    server_ = std::make_unique<Server>(options, service_);
    host_ = server_->tcp_url().substr(7);
  }

  RawClient connect() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(host_.substr(host_.rfind(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("cannot connect to " + host_);
    }
    return RawClient(std::move(fd));
  }

  RawReply ask(const std::string& headers, const std::string& body = {},
               const std::string& line = "GET /health") {
    RawClient client = connect();
    client.send(line + " HTTP/1.1\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    return client.read_reply();
  }

  ApiKeys keys() {
    const std::string path = directory_.file("keys");
    std::ofstream(path) << "alice " << kKey << "\n";
    ::chmod(path.c_str(), 0600);
    return ApiKeys::read(path);
  }

  [[nodiscard]] std::vector<AccessRecord> log() const {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  testing::TemporaryDirectory directory_;
  FakeService service_;
  std::string host_;
  mutable std::mutex log_mutex_;
  std::vector<AccessRecord> log_;
  std::unique_ptr<Server> server_;  // last: it uses all of the above
};

TEST_F(TcpServer, AnswersAtBothPlaces) {
  serve(false);
  EXPECT_EQ(ask("Host: " + host_ + "\r\n").json()["status"], "ok");
  EXPECT_EQ(testing::once(directory_.file("s"), "GET", "/health").json()["status"], "ok");
}

TEST_F(TcpServer, StreamsAndKeepsTheConnection) {
  serve(false);
  RawClient client = connect();
  for (int i = 0; i < 2; ++i) {
    const std::string body = R"({"prompt": "a", "stream": true, "max_tokens": 20})";
    client.send("POST /v1/completions HTTP/1.1\r\nHost: " + host_ +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    std::string text;
    for (const std::string& data : testing::sse_data(client.read_reply().body)) {
      if (data != "[DONE]") text += Json::parse(data)["choices"][0]["text"].get<std::string>();
    }
    EXPECT_EQ(text, FakeService::answer(20));
  }
  EXPECT_EQ(service_.submitted().at(0).owner, "tcp");
}

TEST_F(TcpServer, RefusesAStrangeHostBeforeItReadsTheBody) {
  serve(false);
  RawClient client = connect();
  client.send("POST /v1/completions HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n");
  RawReply reply = client.read_reply();
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.headers["connection"], "close");
  EXPECT_THAT(reply.error_message(), HasSubstr("Host 'evil.example' is not this server"));
  EXPECT_EQ(ask("").status, 403) << "no Host";
  EXPECT_EQ(ask("Host: " + host_ + "\r\nHost: evil.example\r\n").status, 403);
  EXPECT_EQ(ask("Host: " + host_ + "\r\n", {}, "GET http://evil.example/health").status, 403);
  EXPECT_EQ(ask("Host: evil.example\r\n", {}, "GET http://" + host_ + "/health").status, 200)
      << "the target's own authority counts (RFC 9112 3.2.2)";
}

TEST_F(TcpServer, GivesCrossOriginHeadersToConfiguredOriginsOnEveryAnswer) {
  serve(true);
  const std::string head = "Host: " + host_ + "\r\nOrigin: http://localhost:3000\r\n";
  RawReply refused = ask(head);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers["access-control-allow-origin"], "http://localhost:3000");
  EXPECT_EQ(refused.headers["www-authenticate"], "Bearer");
  RawReply answered = ask(head + "X-Api-Key: " + kKey + "\r\n");
  EXPECT_EQ(answered.status, 200);
  EXPECT_EQ(answered.headers["access-control-allow-origin"], "http://localhost:3000");
  RawReply preflight = ask(head + "Access-Control-Request-Method: POST\r\n", {}, "OPTIONS /v1/completions");
  EXPECT_EQ(preflight.status, 200);
  EXPECT_EQ(preflight.headers["access-control-allow-origin"], "http://localhost:3000");
  RawReply strange = ask("Host: " + host_ + "\r\nOrigin: http://evil.example\r\nX-Api-Key: " + kKey + "\r\n");
  EXPECT_EQ(strange.status, 403);
  EXPECT_FALSE(strange.headers.contains("access-control-allow-origin"));
}

TEST_F(TcpServer, TheKeyIsTheOwnerAndCancelsItsOwnOnly) {
  serve(true);
  service_.hold("decode");
  RawClient client = connect();
  const std::string body = R"({"prompt": "a", "max_tokens": 5})";
  client.send("POST /v1/completions HTTP/1.1\r\nHost: " + host_ + "\r\nAuthorization: Bearer " + kKey +
              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(service_.wait_until([&] { return service_.unfinished() == 1; }));
  const GenerationRequest request = service_.submitted().at(0);
  EXPECT_EQ(request.owner, "key:alice");
  const std::string line = "DELETE /v1/requests/" + request.id;
  EXPECT_EQ(ask("Host: " + host_ + "\r\n", {}, line).status, 401);
  EXPECT_EQ(ask("Host: " + host_ + "\r\nX-Api-Key: " + kKey + "\r\n", {}, line).status, 200);
  EXPECT_EQ(client.read_reply().status, 499);
}

TEST_F(TcpServer, AClientThatLeavesCancelsItsRequest) {
  serve(false);
  service_.hold("prompt");
  {
    RawClient client = connect();
    const std::string body = R"({"prompt": "a", "max_tokens": 5})";
    client.send("POST /v1/completions HTTP/1.1\r\nHost: " + host_ +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    ASSERT_TRUE(service_.wait_until([&] { return service_.unfinished() == 1; }));
  }
  EXPECT_TRUE(service_.wait_until([&] { return service_.unfinished() == 0; }));
  EXPECT_EQ(service_.cancelled(), 1u);
}

/// Nothing reads urgent data, and so waiting for anything but its end would end at once, for as long as the
/// answer takes.
TEST_F(TcpServer, AClientThatSendsUrgentDataIsNoHttpClient) {
  serve(false);
  service_.hold("decode");
  RawClient client = connect();
  const std::string body = R"({"prompt": "a", "max_tokens": 5})";
  client.send("POST /v1/completions HTTP/1.1\r\nHost: " + host_ +
              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  client.send("G");  // of the next request: from here on it is watched for its end alone
  ASSERT_TRUE(service_.wait_until([&] { return service_.unfinished() == 1; }));
  ASSERT_EQ(::send(client.fd(), "!", 1, MSG_OOB), 1);
  EXPECT_TRUE(service_.wait_until([&] { return service_.unfinished() == 0; }));
}

TEST_F(TcpServer, LimitsHoldHereToo) {
  Limits limits;
  limits.header_timeout = std::chrono::milliseconds(50);
  limits.header_bytes = 2000;
  serve(false, limits);
  RawClient slow = connect();
  slow.send("GET /health HTTP/1.1\r\nHost: ");
  EXPECT_EQ(slow.read_reply().status, 408);
  EXPECT_EQ(ask("X: " + std::string(3000, 'x') + "\r\n").status, 431);
}

/// Bytes that come after a connection's last request must not reset it under the answer.
TEST_F(TcpServer, TheLastAnswerArrivesWhateverComesAfterItsRequest) {
  constexpr std::size_t kTokens = 20'000;
  serve(false);
  RawClient client = connect();
  const std::string body = R"({"prompt": "a", "max_tokens": )" + std::to_string(kTokens) + "}";
  client.send("POST /v1/completions HTTP/1.1\r\nConnection: close\r\nHost: " + host_ +
              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body +
              std::string(100'000, 'x'));
  EXPECT_EQ(client.read_reply().json()["choices"][0]["text"], testing::FakeService::answer(kTokens));
}

TEST_F(TcpServer, WhoHasNoKeyIsToldSoBeforeAnyLimit) {
  Limits limits;
  limits.body_bytes = 10;
  serve(true, limits);
  EXPECT_EQ(ask("Host: " + host_ + "\r\n", "12345678901", "POST /v1/tokenize").status, 401);
  EXPECT_EQ(
      ask("Host: " + host_ + "\r\nX-Api-Key: " + kKey + "\r\n", "12345678901", "POST /v1/tokenize").status,
      413);
}

/// A page can read why its request was refused.
TEST_F(TcpServer, CrossOriginHeadersAreOnRefusalsOfBodiesToo) {
  Limits limits;
  limits.body_bytes = 10;
  serve(false, limits);
  RawReply refused =
      ask("Host: " + host_ + "\r\nOrigin: http://localhost:3000\r\n", "12345678901", "POST /v1/tokenize");
  EXPECT_EQ(refused.status, 413);
  EXPECT_EQ(refused.headers["access-control-allow-origin"], "http://localhost:3000");
}

TEST_F(TcpServer, LogsRefusalsToo) {
  serve(true);
  EXPECT_EQ(ask("Host: " + host_ + "\r\n").status, 401);
  EXPECT_EQ(ask("Host: " + host_ + "\r\nX-Api-Key: " + kKey + "\r\n").status, 200);
  ASSERT_TRUE(service_.wait_until([&] { return log().size() == 2; }));
  EXPECT_EQ(log()[0].status, 401u);
  EXPECT_EQ(log()[0].account, "");
  EXPECT_EQ(log()[1].account, "key:alice");
}

TEST_F(TcpServer, ClosesThePortWhenItDrains) {
  serve(false);
  EXPECT_TRUE(server_->drain(std::chrono::seconds(5)));
  EXPECT_THROW(connect(), std::runtime_error);
}

TEST_F(TcpServer, BothOrNeither) {
  serve(false);
  ServerOptions options;
  options.socket.path = directory_.file("second");
  options.tcp = TcpOptions{host_, {}, {}, {}};
  EXPECT_THROW(Server(options, service_), SocketError) << "the port is taken";
  struct stat info {};
  EXPECT_NE(::stat(options.socket.path.c_str(), &info), 0) << "the socket is gone again";
}

}  // namespace
}  // namespace tandem::ipc
