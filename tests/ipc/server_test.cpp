#include "ipc/server.h"

#include <deque>
#include <filesystem>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"
#include "tests/support/process_memory.h"

namespace tandem::ipc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::string stream_of(std::uint64_t tokens) {
  return R"({"prompt": "a", "stream": true, "max_tokens": )" + std::to_string(tokens) + "}";
}

TEST(Server, RefusesAPathThatIsTaken) {
  Harness harness;
  FakeService service;
  ServerOptions options;
  options.socket.path = harness.path();
  EXPECT_THROW(Server(options, service), SocketError);
  EXPECT_EQ(harness.get("/health").status, 200);
}

TEST(Server, AHundredStreamsAtOnce) {
  testing::FakeOptions options;
  options.slots = 10;
  Harness harness({}, options);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::uint64_t i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<RawClient>(harness.path()));
    clients.back()->request("POST", "/v1/completions", stream_of(50 + i));
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    std::string text;
    for (const std::string& data : testing::sse_data(clients[i]->read_reply().body)) {
      if (data != "[DONE]") text += Json::parse(data)["choices"][0]["text"].get<std::string>();
    }
    EXPECT_EQ(text, FakeService::answer(50 + i));
  }
  EXPECT_TRUE(harness.becomes_idle());
}

TEST(Server, LimitsConnections) {
  Limits limits;
  limits.connections = 3;
  Harness harness(limits);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(harness.path()));
    clients.back()->request("GET", "/health");
    EXPECT_EQ(clients.back()->read_reply().status, 200);
  }
  RawClient refused(harness.path());
  RawReply reply = refused.read_reply();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers["retry-after"], "1");
  EXPECT_THAT(reply.error_message(), HasSubstr("the limit connections, 3"));
  EXPECT_TRUE(refused.at_end());
  refused.close();
  clients.pop_back();
  EXPECT_TRUE(harness.service.wait_until([&] { return harness.get("/health").status == 200; }));
}

TEST(Server, LeavesNoDescriptorsBehind) {
  const std::size_t before = open_descriptors();
  {
    Harness harness;
    const std::size_t serving = open_descriptors();
    for (int i = 0; i < 30; ++i) {
      EXPECT_EQ(harness.complete(stream_of(3)).status, 200);
      EXPECT_EQ(harness.get("/nowhere").status, 404);
      RawClient leaver(harness.path());
      leaver.request("POST", "/v1/completions", stream_of(100'000));
      leaver.read_until("data:");
      RawClient silent(harness.path());
      RawClient wrong(harness.path());
      wrong.send("nonsense\r\n\r\n");
      EXPECT_EQ(wrong.read_reply().status, 400);
    }
    EXPECT_TRUE(harness.becomes_idle());
    EXPECT_TRUE(harness.service.wait_until([&] { return open_descriptors() == serving; }));
  }
  EXPECT_EQ(open_descriptors(), before);
}

/// While it lives, this process can open `spare` more descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t spare) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // The limit is one of numbers: fill the gaps below it.
    while (fill_.size() < 64) fill_.emplace_back(::dup(STDERR_FILENO));
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(fill_.back().get()) + 1 + spare;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<Fd> fill_;
};

TEST(Server, OutOfDescriptorsItWaitsForOne) {
  Harness harness;
  EXPECT_EQ(harness.get("/health").status, 200);
  const FewDescriptors three(3);
  auto first = std::make_unique<RawClient>(harness.path());
  first->request("GET", "/health");
  EXPECT_EQ(first->read_reply().status, 200);
  RawClient second(harness.path());  // takes the last one: the server cannot accept it
  second.request("GET", "/health");
  first.reset();
  EXPECT_EQ(second.read_reply().status, 200);
}

TEST(Server, DrainsWhatRunsAndTakesNothingNew) {
  Harness harness;
  harness.service.hold("decode");
  RawClient running(harness.path());
  running.request("POST", "/v1/completions", stream_of(5));
  running.read_until("progress");
  RawClient idle(harness.path());
  idle.request("GET", "/health");
  EXPECT_EQ(idle.read_reply().status, 200);
  bool drained = false;
  std::thread drainer([&] { drained = harness.server->drain(seconds(20)); });
  EXPECT_TRUE(idle.at_end()) << "idle connections are closed";
  EXPECT_THROW(RawClient(harness.path()), NoListener);
  EXPECT_FALSE(std::filesystem::exists(harness.path()));
  running.request("GET", "/health");  // pipelined: no new request is taken
  harness.service.hold(std::nullopt);
  running.read_until("[DONE]\n\n\r\n0\r\n\r\n");
  EXPECT_TRUE(running.at_end());
  drainer.join();
  EXPECT_TRUE(drained);
}

TEST(Server, DrainEndsAfterItsGrace) {
  Harness harness;
  harness.service.hold("decode");
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", stream_of(5));
  client.read_until("progress");
  EXPECT_FALSE(harness.server->drain(milliseconds(20)));
  EXPECT_EQ(harness.service.unfinished(), 1u);
  harness.server.reset();
  EXPECT_TRUE(harness.becomes_idle()) << "what is left is cancelled";
}

TEST(Server, MayEndBeforeTheServiceDoes) {
  Harness harness;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawClient>(harness.path()));
    clients.back()->request("POST", "/v1/completions", stream_of(1'000'000));
  }
  for (const auto& client : clients) client->read_until("\r\n\r\n");
  harness.server.reset();
  EXPECT_FALSE(std::filesystem::exists(harness.path()));
  EXPECT_TRUE(harness.becomes_idle());
}

TEST(Server, EndsWhileAPromptIsTokenized) {
  Harness harness;
  harness.service.hold("tokenize");
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", stream_of(5));
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
  std::thread release([&] {
    client.at_end();  // the server has closed the connection and waits for its helper
    harness.service.hold(std::nullopt);
  });
  harness.server.reset();
  release.join();
  EXPECT_TRUE(harness.service.submitted().empty());
}

TEST(Server, EndsWithoutWhatIsStillToBeTokenized) {
  Harness harness;
  harness.service.hold("tokenize");
  std::deque<RawClient> first;
  for (std::size_t i = 0; i < kHelpers; ++i) {
    first.emplace_back(harness.path()).request("POST", "/v1/completions", stream_of(5));
  }
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == kHelpers; }));
  RawClient waiting(harness.path());
  waiting.request("POST", "/v1/completions", stream_of(5));
  EXPECT_EQ(harness.get("/health").status, 200) << "the server has seen the request before this one";
  std::thread release([&] {
    for (auto& client : first) client.at_end();
    waiting.at_end();
    harness.service.hold(std::nullopt);
  });
  harness.server.reset();
  release.join();
  EXPECT_EQ(harness.service.tokenize_calls(), kHelpers);
}

TEST(Server, OutlivesAnAccessLogThatThrows) {
  testing::TemporaryDirectory directory;
  FakeService service;
  ServerOptions options;
  options.socket.path = directory.file("s");
  options.access_log = [](const AccessRecord&) { throw std::runtime_error("disk full"); };
  const Server server(options, service);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(testing::once(server.path(), "GET", "/health").status, 200);
}

/// One of a crowd: reads to the end, leaves early, cancels, or looks at the list meanwhile.
void visit(Harness& harness, int kind) {
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", stream_of(static_cast<std::uint64_t>(20 + kind)));
  switch (kind % 4) {
    case 0:
      EXPECT_EQ(client.read_reply().status, 200);
      return;
    case 1:
      client.read_until("\r\n\r\n");
      return;
    case 2:
      testing::once(harness.path(), "DELETE", "/v1/requests/" + client.read_head().headers["x-request-id"]);
      client.read_until("[DONE]");
      return;
    default:
      EXPECT_EQ(harness.get("/v1/requests").status, 200);
  }
}

/// Clients of every kind at the same time; afterwards nothing is left over.
TEST(Server, SurvivesACrowd) {
  testing::FakeOptions options;
  options.slots = 3;
  Harness harness({}, options);
  std::vector<std::thread> threads;
  for (int kind = 0; kind < 8; ++kind) {
    threads.emplace_back([&harness, kind] {
      for (int i = 0; i < 25; ++i) visit(harness, kind);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(harness.get("/v1/requests").json()["data"], Json::array());
}

constexpr std::uint64_t kMib = 1 << 20;
constexpr std::uint64_t kStackBytes = 64 * kMib;  // more than what ended threads may have left

enum class Start { served, refused, neither };

/// A server's start in a process that may map `more_bytes` than it has now, which threads' stacks take.
Start start_within(std::uint64_t more_bytes) {
  constexpr unsigned kPatienceSeconds = 30;
  const auto child = ::fork();
  if (child == 0) {
    ::alarm(kPatienceSeconds);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, kStackBytes);
    ::pthread_setattr_default_np(&attributes);
    const auto bytes = test_support::status_bytes("VmSize") + more_bytes;
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      const Harness harness;
      ::_exit(0);
    } catch (const std::exception&) {
      ::_exit(1);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return Start::neither;
  return WEXITSTATUS(status) == 0 ? Start::served : Start::refused;
}

TEST(Server, RefusesToStartWithoutAllItsThreads) {
  int refused = 0;
  for (std::uint64_t more = 2 * kMib; more < 6 * kStackBytes; more += kStackBytes / 2) {
    const auto start = start_within(more);
    EXPECT_NE(start, Start::neither) << more / kMib << " MiB";
    refused += start == Start::refused ? 1 : 0;
  }
  EXPECT_GE(refused, 5);
  EXPECT_EQ(start_within(std::uint64_t{1} << 40), Start::served);
}

}  // namespace
}  // namespace tandem::ipc
