#include "ipc/client.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Protocol = asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kPieceBytes = 16384;

/// Takes the body piece by piece; false ends the exchange.
using BodySink = std::function<bool(const HttpReply& head, std::string_view piece)>;

[[noreturn]] void lose(const error_code& error) {
  throw ConnectionLost("the connection to the daemon was lost: " + error.message());
}

bool is_event_stream(const HttpReply& head) {
  return head.status == 200 && head.content_type.rfind("text/event-stream", 0) == 0;
}

HttpReply head_of(const http::response<http::buffer_body>& message) {
  HttpReply head;
  head.status = message.result_int();
  head.content_type = std::string(message[http::field::content_type]);
  for (const auto& field : message) {
    head.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  return head;
}

}  // namespace

/// What is read from a socket, which may be silent for so long only.
class PatientSocket {
 public:
  static constexpr std::chrono::milliseconds kForEver{-1};

  PatientSocket(Protocol::socket& socket, std::chrono::milliseconds patience)
      : socket_(socket), patience_(patience) {}

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, error_code& error) {
    if (stays_silent()) {
      error = asio::error::timed_out;
      return 0;
    }
    return socket_.read_some(buffers, error);
  }
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    error_code error;
    const std::size_t size = read_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return size;
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// A signal to this thread does not prolong the wait.
  [[nodiscard]] bool stays_silent() {
    const auto end = Clock::now() + patience_;
    pollfd entry{socket_.native_handle(), POLLIN, 0};
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      const int wait_ms = patience_ == kForEver ? -1 : std::max(0, static_cast<int>(left.count()));
      const int ready = ::poll(&entry, 1, wait_ms);
      if (ready == 0) return true;
      if (ready > 0 || errno != EINTR) return false;  // what is wrong, reading tells
    }
  }

  Protocol::socket& socket_;
  const std::chrono::milliseconds patience_;
};

class Client::Connection {
 public:
  Connection(const std::string& path, std::chrono::milliseconds patience)
      : socket_(io_, Protocol(), connect_unix(path, patience).release()), patience_(patience) {}

  HttpReply exchange(http::verb method, const std::string& path, const std::string& body,
                     const BodySink& sink) {
    http::request<http::string_body> request{method, path, 11};
    request.set(http::field::host, "localhost");
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = body;
    request.prepare_payload();
    error_code error;
    http::write(socket_, request, error);
    // A daemon that refuses a large body may have stopped reading it, and said why.
    if (error && error != asio::error::broken_pipe) lose(error);
    return read_answer(sink, method == http::verb::get ? patience_ : PatientSocket::kForEver);
  }

  [[nodiscard]] int descriptor() { return socket_.native_handle(); }

 private:
  [[noreturn]] void give_up(const error_code& error) {
    if (error != asio::error::timed_out) lose(error);
    throw NoAnswer("the daemon (pid " + std::to_string(peer_of(descriptor()).pid) +
                   ") has not answered for " + std::to_string(patience_.count()) + " ms; it may be stopped");
  }

  HttpReply read_answer(const BodySink& sink, std::chrono::milliseconds patience) {
    PatientSocket socket(socket_, patience);
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(std::numeric_limits<std::uint64_t>::max());  // boost::none means 0 to Boost 1.74
    error_code error;
    http::read_header(socket, buffer_, parser, error);
    if (error) give_up(error);
    HttpReply head = head_of(parser.get());
    std::array<char, kPieceBytes> piece{};
    while (!parser.is_done()) {
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      http::read_some(socket, buffer_, parser, error);
      if (error && error != http::error::need_buffer) give_up(error);
      const std::size_t size = piece.size() - body.size;
      if (size > 0 && !sink(head, {piece.data(), size})) break;
    }
    return head;
  }

  asio::io_context io_;
  Protocol::socket socket_;
  const std::chrono::milliseconds patience_;
  boost::beast::flat_buffer buffer_;
};

namespace {

template <typename Exchange>
HttpReply whole(const Exchange& exchange) {
  std::string body;
  HttpReply reply = exchange([&body](const HttpReply&, std::string_view piece) {
    body += piece;
    return true;
  });
  reply.body = std::move(body);
  return reply;
}

}  // namespace

Client::Client(const std::string& socket_path, std::chrono::milliseconds patience)
    : connection_(std::make_unique<Connection>(socket_path, patience)) {}

Client::~Client() = default;

HttpReply Client::get(const std::string& path) {
  return whole([&](const BodySink& sink) { return connection_->exchange(http::verb::get, path, {}, sink); });
}

HttpReply Client::post(const std::string& path, const std::string& body) {
  return whole(
      [&](const BodySink& sink) { return connection_->exchange(http::verb::post, path, body, sink); });
}

HttpReply Client::remove(const std::string& path) {
  return whole(
      [&](const BodySink& sink) { return connection_->exchange(http::verb::delete_, path, {}, sink); });
}

HttpReply Client::stream(const std::string& path, const std::string& body, SseReader::Handlers handlers) {
  SseReader events(std::move(handlers));
  std::string other;
  HttpReply reply =
      connection_->exchange(http::verb::post, path, body, [&](const HttpReply& head, std::string_view piece) {
        if (is_event_stream(head)) return events.feed(piece);
        other += piece;
        return true;
      });
  reply.body = std::move(other);
  return reply;
}

Peer Client::daemon() const {
  return peer_of(connection_->descriptor());
}

void Client::interrupt() noexcept {
  ::shutdown(connection_->descriptor(), SHUT_RDWR);
}

Json json_of(const HttpReply& reply) {
  const Json body = Json::parse(reply.body, nullptr, false);
  if (reply.status < 400 && !body.is_discarded()) return body;
  if (reply.status < 400) throw ConnectionLost("the daemon's answer is not JSON");
  const std::string fallback = "the daemon answered with status " + std::to_string(reply.status);
  const Json error = body.is_object() ? body.value("error", Json::object()) : Json::object();
  if (!error.is_object()) throw RequestError(reply.status, kServerError, fallback);
  const auto text = [&error](const char* member) {
    const auto found = error.find(member);
    return found != error.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string message = text("message");
  throw RequestError(reply.status, text("type"), message.empty() ? fallback : message, text("param"),
                     text("code"));
}

}  // namespace tandem::ipc
