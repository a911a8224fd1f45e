#include "ipc/server.h"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <future>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <set>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "ipc/anthropic_messages.h"
#include "ipc/connection.h"
#include "ipc/helpers.h"
#include "ipc/native_routes.h"
#include "ipc/ollama_generation.h"
#include "ipc/ollama_models.h"
#include "ipc/openai_chat.h"
#include "ipc/openai_completions.h"
#include "ipc/openai_error.h"
#include "ipc/openai_models.h"
#include "ipc/openai_responses.h"
#include "ipc/status_routes.h"

namespace tandem::ipc {

namespace {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kRefusedConnections = 64;  // told so at the same time; more are closed without a word
constexpr std::chrono::milliseconds kAcceptPause{100};

/// Threads made while this lives take no signals, those are the main thread's, but for what they do wrong
/// themselves.
class SignalBlock {
 public:
  SignalBlock() {
    sigset_t all;
    sigfillset(&all);
    for (const int own : {SIGBUS, SIGFPE, SIGILL, SIGSEGV}) sigdelset(&all, own);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalBlock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_{};
};

/// 96 random bits.
class RequestIds {
 public:
  std::string next() {
    constexpr const char* kDigits = "0123456789abcdef";
    std::string id;
    for (int i = 0; i < 24; ++i) id += kDigits[random_() & 15];
    return id;
  }

 private:
  std::mt19937_64 random_{std::random_device{}()};
};

Router all_routes(RouteContext& context) {
  Router router;
  router.add(native_routes(context));
  router.add(openai_model_routes(context));
  router.add(openai_chat_routes(context));
  router.add(openai_completion_routes(context));
  router.add(status_routes(context));
  router.add(openai_response_routes(context));
  router.add(anthropic_routes(context));
  router.add(ollama_model_routes(context));
  router.add(ollama_generation_routes(context));
  return router;
}

/// One way in: where clients connect, and the rules for them there.
struct Door {
  Door(asio::io_context& io, Protocol protocol, Fd fd, std::function<Admit(int fd)> rules)
      : acceptor(io, protocol, fd.release()), pause(io), admit(std::move(rules)) {}

  asio::basic_socket_acceptor<Protocol> acceptor;
  asio::steady_timer pause;
  std::function<Admit(int fd)> admit;  ///< what holds for the peer of this connection
};

}  // namespace

class Server::Impl {
 public:
  Impl(const ServerOptions& options, Service& service)
      : access_log_(options.access_log),
        proxy_uids_(options.proxy_uids),
        routes_{service,
                options.limits,
                {},
                [this](std::chrono::milliseconds time, const Wake& wake) { return alarm(time, wake); }},
        router_(all_routes(routes_)),
        listener_(options.socket),
        context_{io_,
                 helper_,
                 large_helper_,
                 router_,
                 routes_.limits,
                 access_log_,
                 [this] { return ids_.next(); }} {
    open_socket();
    if (options.tcp) open_port(*options.tcp);
    for (auto& door : doors_) accept(door);
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    on_io([this] {
      stop_accepting();
      for (const auto& connection : std::set(connections_)) connection->close();
    });
    // What is still queued is nobody's any more.
    for (auto* const helper : {&helper_, &large_helper_}) helper->begin_stop();
    for (auto* const helper : {&helper_, &large_helper_}) helper->stop();
    work_.reset();
    thread_.join();
  }

  [[nodiscard]] const std::string& path() const noexcept { return listener_.path(); }

  [[nodiscard]] const std::string& tcp_url() const noexcept { return tcp_url_; }

  bool drain(std::chrono::milliseconds grace) {
    on_io([this] {
      stop_accepting();
      for (const auto& connection : std::set(connections_)) connection->close_when_idle();
    });
    std::unique_lock lock(mutex_);
    return none_left_.wait_for(lock, grace, [this] { return connection_count_ == 0; });
  }

 private:
  using Connections = std::set<std::shared_ptr<Connection>>;

  void open_socket() {
    doors_.emplace_back(*io_, Protocol(AF_UNIX, 0), listener_.take_fd(), [this](int fd) {
      return [this, uid = peer_of(fd).uid](const RequestHead& head) {
        return admit_peer(head, uid, proxy_uids_);
      };
    });
  }

  void open_port(const TcpOptions& options) {
    TcpAddress address = parse_tcp_address(options.address);
    const TcpGate refuses_first(options, address);  // before anybody could connect
    Fd listener = listen_tcp(address);
    const int family = address.host.front() == '[' ? AF_INET6 : AF_INET;
    tcp_url_ = "http://" + address.text();
    doors_.emplace_back(*io_, Protocol(family, IPPROTO_TCP), std::move(listener),
                        [gate = std::make_shared<TcpGate>(options, address)](int fd) {
                          const int on = 1;  // tokens leave as they come
                          ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                          return [gate](const RequestHead& head) { return gate->admit(head); };
                        });
  }

  void run() {
    while (true) {
      try {
        io_->run();
        return;
      } catch (const std::exception&) {
        // Out of memory, most likely: the connection at hand is lost, the others go on.
      }
    }
  }

  /// Runs `task` on the I/O thread and waits for it.
  void on_io(const std::function<void()>& task) {
    std::promise<void> done;
    asio::post(*io_, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  void stop_accepting() {
    context_.draining = true;
    // The path first: a successor takes a socket that nobody listens on for stale and replaces it, and it is
    // the successor's that would be removed then.
    listener_.remove_path();
    error_code ignored;
    for (auto& door : doors_) {
      door.acceptor.close(ignored);
      door.pause.cancel();
    }
  }

  Alarm alarm(std::chrono::milliseconds time, const Wake& wake) {
    auto timer = std::make_shared<asio::steady_timer>(*io_, time);
    timer->async_wait([wake](error_code error) {
      if (!error) wake();
    });
    return timer;
  }

  void accept(Door& door) {
    door.acceptor.async_accept([this, &door](error_code error, StreamSocket socket) {
      if (context_.draining) return;
      if (error) return accept_later(door);
      accept(door);  // first: whatever becomes of this client, the next one is let in
      admit(door, std::move(socket));
    });
  }

  /// Out of descriptors or memory: the client waits in the backlog, and nothing spins.
  void accept_later(Door& door) {
    door.pause.expires_after(kAcceptPause);
    door.pause.async_wait([this, &door](error_code error) {
      if (!error && !context_.draining) accept(door);
    });
  }

  void admit(const Door& door, StreamSocket socket) {
    const std::size_t limit = routes_.limits.connections;
    if (connections_.size() >= limit + kRefusedConnections) return;
    Admit rules = door.admit(socket.native_handle());
    auto connection = make_connection(context_, std::move(socket), std::move(rules),
                                      [this](Connection* gone) { forget(gone); });
    const bool full = connections_.size() >= limit;
    connections_.insert(connection);
    count_connections();
    if (!full) return connection->start();
    HttpReply reply = openai_error_reply(RequestError(
        503, kServerError, "the limit connections, " + std::to_string(limit) + ", is reached; try again"));
    reply.headers.emplace_back("Retry-After", "1");
    connection->refuse(reply);
  }

  void forget(Connection* gone) {
    const auto found = std::find_if(connections_.begin(), connections_.end(),
                                    [gone](const auto& connection) { return connection.get() == gone; });
    if (found != connections_.end()) connections_.erase(found);
    count_connections();
  }

  void count_connections() {
    const std::lock_guard lock(mutex_);
    connection_count_ = connections_.size();
    if (connection_count_ == 0) none_left_.notify_all();
  }

  const std::function<void(const AccessRecord&)> access_log_;
  const std::vector<uid_t> proxy_uids_;
  RouteContext routes_;
  const Router router_;
  RequestIds ids_;
  std::shared_ptr<asio::io_context> io_ = std::make_shared<asio::io_context>(1);
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_->get_executor()};
  Helpers helper_{kHelpers};
  Helpers large_helper_{kHelpers};
  UnixListener listener_;
  std::string tcp_url_;
  std::deque<Door> doors_;  ///< stay where they are
  ConnectionContext context_;
  Connections connections_;  ///< I/O thread only

  std::mutex mutex_;
  std::condition_variable none_left_;
  std::size_t connection_count_ = 0;
  std::thread thread_;
};

void Server::check(const ServerOptions& options) {
  refuse_taken_path(options.socket.path);
  if (options.tcp) static_cast<void>(TcpGate(*options.tcp, parse_tcp_address(options.tcp->address)));
}

Server::Server(const ServerOptions& options, Service& service) {
  const SignalBlock while_threads_start;
  impl_ = std::make_unique<Impl>(options, service);
}

Server::~Server() = default;

const std::string& Server::path() const noexcept {
  return impl_->path();
}

const std::string& Server::tcp_url() const noexcept {
  return impl_->tcp_url();
}

bool Server::drain(std::chrono::milliseconds grace) {
  return impl_->drain(grace);
}

}  // namespace tandem::ipc
