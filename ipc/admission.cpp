#include "ipc/admission.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "ipc/error_dialect.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

constexpr const char* kPermissionError = "permission_error";

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string joined(const std::vector<std::string>& all) {
  std::string text;
  for (const std::string& one : all) text += (text.empty() ? "" : ", ") + one;
  return text;
}

Sender sender_of(const std::string& account, const RequestHead& head) {
  return {account, head.client.empty() ? account : account + "/" + head.client, false};
}

[[noreturn]] void refuse_owner() {
  throw RequestError(403, kPermissionError,
                     "X-Tandem-Owner is taken from proxies on the Unix socket only, of the uids in the "
                     "configuration's socket.proxy_uids",
                     "X-Tandem-Owner");
}

Sender proxied(const RequestHead& head) {
  if (!is_label(head.owner)) {
    throw RequestError(400, kInvalidRequest,
                       "X-Tandem-Owner must be 1 to 64 letters, digits, '.', '_' or '-'", "X-Tandem-Owner");
  }
  return sender_of("proxy:" + head.owner, head);
}

Sender sender_of_peer(const RequestHead& head, uid_t uid, const std::vector<uid_t>& proxies) {
  const bool trusted = std::find(proxies.begin(), proxies.end(), uid) != proxies.end();
  if (!head.owner.empty()) {
    if (!trusted) refuse_owner();
    return proxied(head);
  }
  const std::string account = std::to_string(uid);
  if (head.forwarded || trusted) {
    const std::string nobody = account + "/forwarded-" + head.id;
    return {nobody, nobody, false};
  }
  Sender sender = sender_of(account, head);
  sender.root = uid == 0;
  return sender;
}

/// The key of "Bearer KEY", whatever the scheme's case.
std::string_view bearer_of(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (lower(authorization.substr(0, kScheme.size())) != kScheme) return {};
  return authorization.substr(kScheme.size());
}

HttpReply preflight_reply(const RequestHead& head) {
  HttpReply reply;
  reply.headers = {{"Access-Control-Allow-Methods", "GET, POST, DELETE"}, {"Access-Control-Max-Age", "600"}};
  if (!head.preflight_headers.empty()) {
    reply.headers.emplace_back("Access-Control-Allow-Headers", head.preflight_headers);
  }
  return reply;
}

HttpReply refusal(const RequestHead& head, const RequestError& error) {
  HttpReply reply = error_reply_at(head.path, error);
  if (error.status() == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

}  // namespace

Admission admit_peer(const RequestHead& head, uid_t uid, const std::vector<uid_t>& proxies) {
  Admission admission;
  try {
    admission.sender = sender_of_peer(head, uid, proxies);
  } catch (const RequestError& error) {
    admission.reply = refusal(head, error);
  }
  return admission;
}

TcpGate::TcpGate(TcpOptions options, const TcpAddress& address) : options_(std::move(options)) {
  if (!address.loopback && !options_.keys) {
    throw BadListen("listen " + address.text() +
                    ": other machines can reach this address, so it needs API keys: give --api-key-file "
                    "FILE, or listen at 127.0.0.1");
  }
  const std::string port = ":" + std::to_string(address.port);
  for (const std::string& name :
       {std::string("localhost"), std::string("127.0.0.1"), std::string("[::1]"), address.host}) {
    if (!contains(hosts_, name + port)) hosts_.push_back(name + port);
    if (address.port == 80) hosts_.push_back(name);
  }
  for (const std::string& name : options_.hosts) {
    hosts_.push_back(lower(name));
    hosts_.push_back(lower(name) + port);
  }
}

Admission TcpGate::admit(const RequestHead& head) const {
  Admission admission;
  try {
    check_host(head);
    if (is_cross_origin(head)) {
      admission.headers = {{"Access-Control-Allow-Origin", head.origin},
                           {"Access-Control-Expose-Headers", kRequestIdHeader},
                           {"Vary", "Origin"}};
      if (head.method == "OPTIONS" && !head.preflight_method.empty()) {
        admission.reply = preflight_reply(head);  // browsers send no key here
        return admission;
      }
    }
    if (!head.owner.empty()) refuse_owner();
    admission.sender = sender_of(account_of(head), head);
  } catch (const RequestError& error) {
    admission.reply = refusal(head, error);
  }
  return admission;
}

void TcpGate::check_host(const RequestHead& head) const {
  if (contains(hosts_, lower(head.host))) return;
  throw RequestError(403, kPermissionError,
                     "Host '" + head.host + "' is not this server, which is " + joined(hosts_) +
                         "; the configuration's listen.hosts adds names",
                     "Host");
}

bool TcpGate::is_cross_origin(const RequestHead& head) const {
  if (head.origin.empty() || head.origin == "http://" + lower(head.host)) return false;
  if (contains(options_.origins, head.origin)) return true;
  throw RequestError(403, kPermissionError,
                     "pages from '" + head.origin +
                         "' may not call this server; the configuration's "
                         "listen.origins adds origins",
                     "Origin");
}

std::string TcpGate::account_of(const RequestHead& head) const {
  // The status page holds no data: it asks for a key itself, as a browser cannot send one with the first
  // request.
  if (!options_.keys || head.path == "/") return "tcp";
  auto owner = options_.keys->owner_of(bearer_of(head.authorization));
  if (!owner) owner = options_.keys->owner_of(head.api_key);
  if (owner) return "key:" + *owner;
  const bool given = !head.authorization.empty() || !head.api_key.empty();
  throw RequestError(401, kInvalidRequest,
                     given ? "the API key is not one of this server's"
                           : "an API key is required: Authorization: Bearer KEY, or X-Api-Key: KEY",
                     {}, "invalid_api_key");
}

}  // namespace tandem::ipc
