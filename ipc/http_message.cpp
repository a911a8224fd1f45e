#include "ipc/http_message.h"

#include <array>
#include <cstdio>

#include <boost/beast/http/status.hpp>

#include "ipc/request_target.h"

namespace tandem::ipc {

namespace {

namespace http = boost::beast::http;

/// All values of a header field, joined by ", ".
std::string field_of(const http::fields& fields, std::string_view name) {
  const auto [first, last] = fields.equal_range({name.data(), name.size()});
  std::string text;
  for (auto field = first; field != last; ++field) {
    if (field != first) text += ", ";
    text += std::string(field->value());
  }
  return text;
}

std::string reason_of(unsigned status) {
  if (status == 499) return "Client Closed Request";
  return std::string(http::obsolete_reason(http::int_to_status(status)));
}

void add_field(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

RequestHead request_head(const HttpMessage& message, std::string id) {
  RequestTarget target = parse_target({message.target().data(), message.target().size()});
  RequestHead head;
  head.id = std::move(id);
  head.method = std::string(message.method_string());
  head.path = std::move(target.path);
  head.host = target.authority.empty() ? field_of(message, "Host") : std::move(target.authority);
  head.origin = field_of(message, "Origin");
  head.authorization = field_of(message, "Authorization");
  head.api_key = field_of(message, "X-Api-Key");
  head.client = field_of(message, "X-Tandem-Client");
  head.owner = field_of(message, "X-Tandem-Owner");
  head.preflight_method = field_of(message, "Access-Control-Request-Method");
  head.preflight_headers = field_of(message, "Access-Control-Request-Headers");
  for (const char* name : {"Forwarded", "X-Forwarded-For", "Via"}) {
    head.forwarded = head.forwarded || message.count(name) > 0;
  }
  return head;
}

bool has_known_framing(const HttpMessage& message) {
  if (message.count(http::field::transfer_encoding) == 0) return true;
  return message.version() == 11 && boost::beast::iequals(field_of(message, "Transfer-Encoding"), "chunked");
}

std::optional<RequestError> refused_coding(const HttpMessage& message) {
  if (!has_known_framing(message)) {
    return RequestError(400, kInvalidRequest, "Transfer-Encoding can only be 'chunked' here");
  }
  const std::string coding(field_of(message, "Content-Encoding"));
  if (coding.empty() || boost::beast::iequals(coding, "identity")) return std::nullopt;
  return RequestError(415, kInvalidRequest,
                      "a body cannot be compressed here; send it without Content-Encoding");
}

std::string head_text(const HttpReply& reply, std::span<const std::pair<std::string, std::string>> more,
                      const HeadStyle& style) {
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " " + reason_of(reply.status) + "\r\n";
  add_field(head, "Content-Type", reply.content_type);
  if (style.framing == Framing::length) add_field(head, "Content-Length", std::to_string(reply.body.size()));
  if (style.framing == Framing::chunks) add_field(head, "Transfer-Encoding", "chunked");
  bool named = style.request_id.empty();
  for (const auto& [name, value] : reply.headers) {
    add_field(head, name, value);
    named = named || name == kRequestIdHeader;
  }
  for (const auto& [name, value] : more) add_field(head, name, value);
  if (!named) add_field(head, kRequestIdHeader, style.request_id);
  if (!style.keep_alive) add_field(head, "Connection", "close");
  if (style.keep_alive && style.http_1_0) add_field(head, "Connection", "keep-alive");
  return head + "\r\n";
}

std::string chunk_text(std::string_view bytes) {
  std::array<char, 20> size{};
  const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
  std::string text(size.data(), static_cast<std::size_t>(length));
  return text.append(bytes).append("\r\n");
}

}  // namespace tandem::ipc
