// A daemon whose model is a fixed sentence: for trying clients by hand and in tests.
//   fake_daemon SOCKET [MICROSECONDS_PER_TOKEN]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "ipc/server.h"
#include "tests/ipc/fake_service.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s SOCKET [MICROSECONDS_PER_TOKEN]\n", argv[0]);
    return 1;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  try {
    tandem::ipc::testing::FakeOptions options;
    if (argc > 2) options.token_time = std::chrono::microseconds(std::strtol(argv[2], nullptr, 10));
    tandem::ipc::testing::FakeService service(options);
    tandem::ipc::ServerOptions server_options;
    server_options.socket.path = argv[1];
    server_options.access_log = [](const tandem::ipc::AccessRecord& record) {
      std::fprintf(stderr, "%s %s %u %s %llu us %s\n", record.method.c_str(), record.path.c_str(),
                   record.status, record.account.c_str(), static_cast<unsigned long long>(record.duration_us),
                   record.request_id.c_str());
    };
    tandem::ipc::Server server(server_options, service);
    std::printf("listening on %s\n", server.path().c_str());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&ends, &signal);
    server.drain(std::chrono::seconds(5));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake_daemon: %s\n", error.what());
    return 1;
  }
  return 0;
}
