#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "ipc/admission.h"
#include "ipc/http.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

using HttpMessage = boost::beast::http::request<boost::beast::http::string_body>;

/// What the header of a request says of who sends it; `id` is its name here.
RequestHead request_head(const HttpMessage& message, std::string id);

/// Whether it is certain where the body ends.  Of transfer codings only `chunked` is known, once and in
/// HTTP/1.1; with another one the parser takes the body for empty, and its bytes for the next request.
bool has_known_framing(const HttpMessage& message);

/// Why the body cannot be read; nothing if it can.
std::optional<RequestError> refused_coding(const HttpMessage& message);

/// How the reader of an answer finds its end.
enum class Framing { length, chunks, end_of_connection };

/// What the head of an answer says beside the reply itself.
struct HeadStyle {
  Framing framing = Framing::length;
  bool keep_alive = true;
  bool http_1_0 = false;
  std::string_view request_id = {};  ///< unless the reply names its own; empty: none
};

/// The bytes of an answer before its body, `more` after the reply's own fields.
std::string head_text(const HttpReply& reply, std::span<const std::pair<std::string, std::string>> more,
                      const HeadStyle& style);

/// `bytes` as one chunk of a body; none are the end of it.
std::string chunk_text(std::string_view bytes);

}  // namespace tandem::ipc
