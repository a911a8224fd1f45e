#include "tests/ipc/raw_http.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>

namespace tandem::ipc::testing {

RawClient::RawClient(const std::string& path) : RawClient(connect_unix(path)) {}

RawClient::RawClient(Fd socket) : socket_(std::move(socket)) {}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void RawClient::request(const std::string& method, const std::string& path, const std::string& body,
                        const std::string& extra_headers) {
  send(method + " " + path + " HTTP/1.1\r\nHost: anything\r\nContent-Length: " + std::to_string(body.size()) +
       "\r\n" + extra_headers + "\r\n" + body);
}

bool RawClient::fill() {
  std::array<char, 65536> piece{};
  const auto size = ::recv(socket_.get(), piece.data(), piece.size(), 0);
  if (size < 0 && errno != ECONNRESET) {
    throw std::runtime_error(std::string("no answer: ") + std::strerror(errno));
  }
  if (size <= 0) return false;
  buffer_.append(piece.data(), static_cast<std::size_t>(size));
  return true;
}

std::string RawClient::read_until(std::string_view mark) {
  std::size_t at = 0;
  while ((at = buffer_.find(mark)) == std::string::npos) {
    if (!fill()) throw std::runtime_error("the server closed; it had sent: " + buffer_);
  }
  std::string text = buffer_.substr(0, at + mark.size());
  buffer_.erase(0, at + mark.size());
  return text;
}

std::string RawClient::read_exactly(std::size_t size) {
  while (buffer_.size() < size) {
    if (!fill()) throw std::runtime_error("the server closed within a body; it had sent: " + buffer_);
  }
  std::string text = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return text;
}

std::string RawClient::read_to_end() {
  while (fill()) continue;
  return std::exchange(buffer_, {});
}

bool RawClient::at_end() {
  return buffer_.empty() && !fill();
}

void RawClient::close_sending() {
  ::shutdown(socket_.get(), SHUT_WR);
}

RawReply RawClient::read_head() {
  std::istringstream lines(read_until("\r\n\r\n"));
  RawReply reply;
  std::string line;
  std::getline(lines, line);
  if (line.rfind("HTTP/1.1 ", 0) != 0) throw std::runtime_error("not a status line: " + line);
  reply.status = std::stoi(line.substr(9));
  while (std::getline(lines, line) && line != "\r") {
    const auto colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!reply.headers.emplace(name, line.substr(colon + 2, line.size() - colon - 3)).second) {
      throw std::runtime_error("header field twice: " + name);
    }
  }
  return reply;
}

RawReply RawClient::read_reply() {
  RawReply reply = read_head();
  if (reply.headers.contains("content-length")) {
    reply.body = read_exactly(std::stoul(reply.headers["content-length"]));
  } else if (reply.headers.contains("transfer-encoding")) {
    read_chunks(reply);
  } else {
    reply.body = read_to_end();
  }
  return reply;
}

void RawClient::read_chunks(RawReply& reply) {
  while (true) {
    const std::size_t size = std::stoul(read_until("\r\n"), nullptr, 16);
    const std::string chunk = read_exactly(size);
    if (read_exactly(2) != "\r\n") throw std::runtime_error("a chunk does not end where it says");
    if (size == 0) return;
    reply.chunks.push_back(chunk);
    reply.body += chunk;
  }
}

RawReply once(const std::string& path, const std::string& method, const std::string& target,
              const std::string& body, const std::string& extra_headers) {
  RawClient client(path);
  client.request(method, target, body, extra_headers);
  return client.read_reply();
}

std::vector<std::string> sse_data(const std::string& body) {
  std::vector<std::string> events;
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("data: ", 0) == 0) events.push_back(line.substr(6));
  }
  return events;
}

std::vector<Json> sse_events(const RawReply& reply) {
  std::vector<Json> events;
  for (const std::string& data : sse_data(reply.body)) {
    if (data != "[DONE]") events.push_back(Json::parse(data));
  }
  return events;
}

}  // namespace tandem::ipc::testing
