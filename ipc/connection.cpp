#include "ipc/connection.h"

#include <algorithm>
#include <atomic>
#include <malloc.h>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include "ipc/error_dialect.h"
#include "ipc/http_message.h"
#include "ipc/openai_error.h"
#include "ipc/posted_wake.h"
#include "ipc/request_target.h"

namespace tandem::ipc {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr std::size_t kReadAheadBytes = 4096;
constexpr std::size_t kBodyPieceBytes = 65536;  // read at once; also the most a chunk header may have
constexpr std::size_t kLargeBodyBytes = std::size_t{64} << 10;  // small ones do not wait behind larger ones
constexpr Milliseconds kLingerTime{1000};

bool is_unix(const StreamSocket& socket) {
  return socket.local_endpoint().protocol().family() == AF_UNIX;
}

/// True if the peer has closed both directions (it may also have closed only its sending one).
bool hung_up(int fd) {
  pollfd entry{fd, 0, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

class HttpConnection final : public Connection, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(ConnectionContext& context, StreamSocket socket, Admit admit,
                 std::function<void(Connection*)> closed)
      : context_(context),
        socket_(std::move(socket)),
        deadline_(*context.io),
        admit_(std::move(admit)),
        closed_(std::move(closed)),
        tells_half_close_(is_unix(socket_)),
        buffer_(context.limits.header_bytes + kBodyPieceBytes) {}

  void start() override { next_request(); }
  void refuse(const HttpReply& reply) override { turn_away(reply); }
  void close_when_idle() override;
  void close() override;

 private:
  enum class Phase { idle, reading, answering, lingering, closed };
  enum class AfterSend { read_body, pump, finish };

  // Reading a request
  void next_request();
  void read_header();
  void on_header(error_code error);
  void read_body();
  void on_body(error_code error);
  bool take_header(const HttpMessage& message);
  void begin_answer();
  [[nodiscard]] std::string path_so_far() const;
  void read_failed(error_code error);

  // Noticing that the client leaves while its request is answered
  void watch();
  void on_input(error_code error, std::size_t size);
  void watch_hangup();

  // Answering
  void dispatch();
  void on_outcome(Outcome outcome);
  void pump();
  void emit(Output output);
  void send_reply(const HttpReply& reply);
  [[nodiscard]] std::string head_of(const HttpReply& reply, Framing framing);
  void send(std::string bytes, AfterSend after);
  void write_some();
  void on_written(error_code error, std::size_t size);
  void finish();
  void log_request();

  void turn_away(const HttpReply& reply);
  void linger();
  void set_deadline(Milliseconds time);
  void clear_deadline();
  void on_deadline();

  ConnectionContext& context_;
  StreamSocket socket_;
  asio::steady_timer deadline_;
  const Admit admit_;
  std::function<void(Connection*)> closed_;
  const bool tells_half_close_;    ///< a peer that has left can be told from one that only sends no more
  std::atomic<bool> gone_{false};  ///< closed; the helper looks at it

  Phase phase_ = Phase::idle;
  boost::beast::flat_buffer buffer_;  ///< read and not yet parsed
  std::optional<http::request_parser<http::string_body>> parser_;
  bool timed_out_ = false;        ///< what is being read
  bool watching_ = false;         ///< a read is outstanding
  bool watching_hangup_ = false;  ///< so is a wait for the peer's close
  bool half_closed_ = false;      ///< the peer sends no more, but may read

  HttpRequest request_;
  std::vector<std::pair<std::string, std::string>> extra_headers_;  ///< of every answer to it
  bool http_1_0_ = false;
  bool head_only_ = false;
  bool keep_alive_ = true;
  bool unread_input_ = false;  ///< the request was refused before its end
  bool logged_ = true;
  unsigned status_ = 0;
  Clock::time_point started_;

  std::unique_ptr<Answer> answer_;
  bool sending_ = false;
  std::string out_;
  std::size_t out_sent_ = 0;
  AfterSend after_send_ = AfterSend::finish;
};

void HttpConnection::next_request() {
  phase_ = Phase::idle;
  if (buffer_.size() > 0) return read_header();
  if (half_closed_ || context_.draining) return close();
  set_deadline(context_.limits.idle_timeout);
  watch();
}

void HttpConnection::read_header() {
  phase_ = Phase::reading;
  timed_out_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(context_.limits.header_bytes));
  parser_->body_limit(context_.limits.body_bytes);
  set_deadline(context_.limits.header_timeout);
  http::async_read_header(
      socket_, buffer_, *parser_,
      [self = shared_from_this()](error_code error, std::size_t) { self->on_header(error); });
}

void HttpConnection::on_header(error_code error) {
  if (phase_ == Phase::closed) return;
  if (error) return read_failed(error);
  if (!take_header(parser_->get())) return;
  if (!http_1_0_ && boost::beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
    return send("HTTP/1.1 100 Continue\r\n\r\n", AfterSend::read_body);
  }
  read_body();
}

void HttpConnection::read_body() {
  timed_out_ = false;
  set_deadline(context_.limits.body_timeout);
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](error_code error, std::size_t) { self->on_body(error); });
}

void HttpConnection::on_body(error_code error) {
  if (phase_ == Phase::closed) return;
  if (error) return read_failed(error);
  phase_ = Phase::answering;
  clear_deadline();
  begin_answer();
  request_.body = std::move(parser_->get().body());
  if (buffer_.size() > 0) {
    watch_hangup();  // the next request waits already: reading on would only grow the buffer
  } else if (!half_closed_) {
    watch();
  }
  dispatch();
}

/// False if the request ends here, before its body is read.
bool HttpConnection::take_header(const HttpMessage& message) {
  const RequestHead head = request_head(message, context_.new_request_id());
  http_1_0_ = message.version() < 11;
  keep_alive_ = keep_alive_ && message.keep_alive();
  head_only_ = head.method == "HEAD";
  Admission admission = admit_(head);
  extra_headers_ = std::move(admission.headers);
  request_ = {head.id, head_only_ ? "GET" : head.method, head.path, {}, std::move(admission.sender)};
  std::optional<HttpReply> refusal = std::move(admission.reply);
  const auto coding = refused_coding(message);
  if (!refusal && coding) refusal = error_reply_at(head.path, *coding);
  if (!refusal) return true;
  begin_answer();
  turn_away(*refusal);
  return false;
}

void HttpConnection::begin_answer() {
  started_ = Clock::now();
  logged_ = false;
  status_ = 0;
}

/// The path of the request that is being read, as far as it is known; empty if it is not.
std::string HttpConnection::path_so_far() const {
  if (!request_.path.empty()) return request_.path;
  auto target = parser_->get().target();
  if (!target.empty()) return parse_target({target.data(), target.size()}).path;
  const auto unparsed = buffer_.cdata();  // of a header that is not complete, all there is
  return parse_target(target_of({static_cast<const char*>(unparsed.data()), unparsed.size()})).path;
}

void HttpConnection::read_failed(error_code error) {
  const Limits& limits = context_.limits;
  const auto refuse_with = [this](unsigned status, const std::string& message) {
    if (!request_.path.empty()) begin_answer();
    turn_away(error_reply_at(path_so_far(), RequestError(status, kInvalidRequest, message)));
  };
  if (timed_out_) return refuse_with(408, "the request did not arrive in time");
  if (error == http::error::buffer_overflow && parser_->is_header_done()) {
    return refuse_with(400, "a chunk header is too long");
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse_with(431,
                       "the header is over the limit header_bytes, " + std::to_string(limits.header_bytes));
  }
  if (error == http::error::body_limit) {
    // A length that is too large is found while the header is read: who sends it is not known yet.
    if (request_.path.empty() && !take_header(parser_->get())) return;
    return refuse_with(413, "the body is over the limit body_bytes, " + std::to_string(limits.body_bytes));
  }
  if (error == http::error::end_of_stream) return close();
  if (error.category() == http::make_error_code(http::error::bad_method).category()) {
    return refuse_with(400, "malformed HTTP request: " + error.message());
  }
  close();
}

void HttpConnection::watch() {
  if (watching_) return;
  watching_ = true;
  socket_.async_read_some(buffer_.prepare(kReadAheadBytes),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            self->watching_ = false;
                            self->on_input(error, size);
                          });
}

void HttpConnection::on_input(error_code error, std::size_t size) {
  if (phase_ == Phase::closed) return;
  if (error == asio::error::eof && phase_ == Phase::answering && tells_half_close_ &&
      !hung_up(socket_.native_handle())) {
    half_closed_ = true;  // as `nc -N` does: it still wants its answer
    return watch_hangup();
  }
  if (error) return close();
  buffer_.commit(size);
  if (phase_ == Phase::idle) return read_header();
  watch_hangup();
}

/// The wait also ends for out-of-band data, which no HTTP client sends and which nothing takes away: waiting
/// again would end at once, for ever.
void HttpConnection::watch_hangup() {
  if (watching_hangup_) return;
  watching_hangup_ = true;
  socket_.async_wait(asio::socket_base::wait_error, [self = shared_from_this()](error_code error) {
    self->watching_hangup_ = false;
    if (!error) self->close();
  });
}

void HttpConnection::dispatch() {
  if (context_.draining) {
    return on_outcome(
        error_reply_at(request_.path, RequestError(503, kServerError, "the daemon is shutting down")));
  }
  const std::string& owner = request_.sender.owner;
  const auto label_at = owner.find('/');
  if (label_at != std::string::npos && !is_label(std::string_view(owner).substr(label_at + 1))) {
    return on_outcome(error_reply_at(
        request_.path,
        RequestError(400, kInvalidRequest, "X-Tandem-Client must be 1 to 64 letters, digits, '.', '_' or '-'",
                     "X-Tandem-Client")));
  }
  if (request_.method != "POST") return on_outcome(context_.router.handle(request_));
  auto& helper = request_.body.size() > kLargeBodyBytes ? context_.large_helper : context_.helper;
  helper.post([self = shared_from_this()]() mutable {
    Outcome outcome;  // of a client that has left nothing is worked out
    if (!self->gone_) outcome = self->context_.router.handle(self->request_);
    if (self->request_.body.size() > kLargeBodyBytes) ::malloc_trim(0);  // what was made of it on the way
    asio::io_context& io = *self->context_.io;
    asio::post(io, [self = std::move(self), outcome = std::move(outcome)]() mutable {
      self->on_outcome(std::move(outcome));
    });
  });
}

void HttpConnection::on_outcome(Outcome outcome) {
  if (phase_ == Phase::closed) return;
  // An answer may take long and the body is parsed: many of them would fill the memory for nothing.
  // Swapped, because assigning an empty string keeps the old one's memory.
  std::string().swap(request_.body);
  if (auto* reply = std::get_if<HttpReply>(&outcome)) return send_reply(*reply);
  const auto wake = posted_wake(context_.io, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->pump();
  });
  try {
    answer_ = std::get<StartAnswer>(outcome)(wake);
  } catch (...) {
    return send_reply(error_reply_at(request_.path, std::current_exception()));
  }
  pump();
}

void HttpConnection::pump() {
  if (sending_ || !answer_) return;
  Output output;
  try {
    output = answer_->next();
  } catch (...) {
    answer_.reset();
    if (status_ != 0) return close();  // a stream that has begun cannot become an error
    return send_reply(error_reply_at(request_.path, std::current_exception()));
  }
  emit(std::move(output));
}

void HttpConnection::emit(Output output) {
  if (auto* reply = std::get_if<HttpReply>(&output)) {
    answer_.reset();
    return send_reply(*reply);
  }
  if (const auto* start = std::get_if<StreamHead>(&output)) {
    status_ = start->head.status;
    if (head_only_) {
      answer_.reset();
      return send(head_of(start->head, Framing::end_of_connection), AfterSend::finish);
    }
    if (http_1_0_) keep_alive_ = false;  // without chunks only the connection's end marks the answer's
    return send(head_of(start->head, http_1_0_ ? Framing::end_of_connection : Framing::chunks),
                AfterSend::pump);
  }
  if (auto* piece = std::get_if<StreamPiece>(&output)) {
    std::string bytes = http_1_0_ ? std::move(piece->bytes) : chunk_text(piece->bytes);
    if (!piece->last) return send(std::move(bytes), AfterSend::pump);
    answer_.reset();
    if (!http_1_0_ && !piece->bytes.empty()) bytes += chunk_text({});
    send(std::move(bytes), AfterSend::finish);
  }
}

void HttpConnection::send_reply(const HttpReply& reply) {
  status_ = reply.status;
  std::string bytes = head_of(reply, Framing::length);
  if (!head_only_) bytes += reply.body;
  send(std::move(bytes), AfterSend::finish);
}

std::string HttpConnection::head_of(const HttpReply& reply, Framing framing) {
  if (context_.draining) keep_alive_ = false;
  return head_text(reply, extra_headers_, {framing, keep_alive_, http_1_0_, request_.id});
}

void HttpConnection::send(std::string bytes, AfterSend after) {
  sending_ = true;
  out_ = std::move(bytes);
  out_sent_ = 0;
  after_send_ = after;
  write_some();
}

void HttpConnection::write_some() {
  set_deadline(context_.limits.stall_timeout);
  socket_.async_write_some(
      asio::buffer(out_.data() + out_sent_, out_.size() - out_sent_),
      [self = shared_from_this()](error_code error, std::size_t size) { self->on_written(error, size); });
}

void HttpConnection::on_written(error_code error, std::size_t size) {
  if (phase_ == Phase::closed) return;
  if (error) return close();
  out_sent_ += size;
  if (out_sent_ < out_.size()) return write_some();
  sending_ = false;
  clear_deadline();
  switch (after_send_) {
    case AfterSend::read_body:
      return read_body();
    case AfterSend::pump:
      return pump();
    case AfterSend::finish:
      return finish();
  }
}

void HttpConnection::finish() {
  log_request();
  request_ = {};
  extra_headers_.clear();
  head_only_ = false;
  if (unread_input_ || (!keep_alive_ && buffer_.size() > 0)) return linger();
  if (!keep_alive_) return close();
  next_request();
}

void HttpConnection::log_request() {
  if (std::exchange(logged_, true) || !context_.access_log) return;
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_);
  try {
    context_.access_log({request_.id, request_.method, request_.path, status_, request_.sender.account,
                         static_cast<std::uint64_t>(duration.count())});
  } catch (const std::exception&) {
    // A log that fails, as on a full disk, is no reason to fail the request.
  }
}

void HttpConnection::turn_away(const HttpReply& reply) {
  keep_alive_ = false;
  unread_input_ = true;
  phase_ = Phase::answering;
  send_reply(reply);
}

/// A refused request may still be arriving, or a next one that nobody will read; closing now would reset the
/// connection under the answer.
void HttpConnection::linger() {
  if (phase_ != Phase::lingering) {
    phase_ = Phase::lingering;
    set_deadline(kLingerTime);
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  }
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(kReadAheadBytes),
                          [self = shared_from_this()](error_code error, std::size_t) {
                            if (self->phase_ == Phase::closed) return;
                            error ? self->close() : self->linger();
                          });
}

void HttpConnection::close_when_idle() {
  keep_alive_ = false;
  if (phase_ == Phase::idle) close();
}

void HttpConnection::close() {
  if (std::exchange(phase_, Phase::closed) == Phase::closed) return;
  gone_ = true;
  answer_.reset();
  log_request();
  clear_deadline();
  error_code ignored;
  socket_.close(ignored);
  std::exchange(closed_, nullptr)(this);
}

void HttpConnection::set_deadline(Milliseconds time) {
  deadline_.expires_after(time);
  deadline_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!error && self && self->deadline_.expiry() <= Clock::now()) self->on_deadline();
  });
}

/// Not with cancel(): that leaves a passed expiry, and a handler that is queued already would act on it.
void HttpConnection::clear_deadline() {
  deadline_.expires_at(Clock::time_point::max());
}

/// A request that is late is told so.  The read that is cancelled for that may have ended just now, and a
/// next one be under way that knows nothing of it: then the connection ends a little later without a word.
void HttpConnection::on_deadline() {
  if (phase_ != Phase::reading || sending_ || std::exchange(timed_out_, true)) return close();
  socket_.cancel();
  set_deadline(kLingerTime);
}

}  // namespace

std::shared_ptr<Connection> make_connection(ConnectionContext& context, StreamSocket socket, Admit admit,
                                            std::function<void(Connection*)> closed) {
  return std::make_shared<HttpConnection>(context, std::move(socket), std::move(admit), std::move(closed));
}

}  // namespace tandem::ipc
