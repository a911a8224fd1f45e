#include "ipc/admission.h"

#include <fstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/json_fields.h"
#include "tests/ipc/temporary_directory.h"

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;

const std::string kKey = "alice-0123456789abcdef";

RequestHead head_to(const std::string& host) {
  RequestHead head;
  head.id = "0011";
  head.method = "POST";
  head.path = "/v1/completions";
  head.host = host;
  return head;
}

unsigned status_of(const Admission& admission) {
  return admission.reply ? admission.reply->status : 0;
}

std::string header(const std::vector<std::pair<std::string, std::string>>& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "absent";
}

ApiKeys some_keys() {
  const testing::TemporaryDirectory directory;
  const std::string path = directory.file("keys");
  std::ofstream(path) << "alice " << kKey << "\n";
  ::chmod(path.c_str(), 0600);
  return ApiKeys::read(path);
}

// ---- At the Unix socket

TEST(AdmitPeer, ThePeersUidIsTheOwner) {
  const Admission admission = admit_peer(head_to("anything"), 1000, {});
  EXPECT_EQ(status_of(admission), 0u);
  EXPECT_EQ(admission.sender.account, "1000");
  EXPECT_EQ(admission.sender.owner, "1000");
  EXPECT_FALSE(admission.sender.root);
  EXPECT_TRUE(admit_peer(head_to(""), 0, {}).sender.root);
}

TEST(AdmitPeer, AProxySpeaksForOthersOnlyIfItIsTrusted) {
  RequestHead head = head_to("x");
  head.owner = "carol";
  head.client = "editor";
  EXPECT_EQ(status_of(admit_peer(head, 1000, {})), 403u);
  EXPECT_EQ(status_of(admit_peer(head, 0, {33})), 403u) << "not even root";
  const Admission admission = admit_peer(head, 33, {7, 33});
  EXPECT_EQ(status_of(admission), 0u);
  EXPECT_EQ(admission.sender.account, "proxy:carol");
  EXPECT_EQ(admission.sender.owner, "proxy:carol/editor");
  for (const char* name : {"a b", "carol, dave", "a/b"}) {
    head.owner = name;
    EXPECT_EQ(status_of(admit_peer(head, 33, {33})), 400u) << name;
  }
}

TEST(AdmitPeer, WhatIsForwardedForNobodyInParticularSharesNothing) {
  RequestHead head = head_to("x");
  head.forwarded = true;
  head.client = "editor";
  const Admission first = admit_peer(head, 0, {});
  EXPECT_EQ(first.sender.account, "0/forwarded-0011") << "nor may the proxy's other clients end it";
  EXPECT_EQ(first.sender.owner, "0/forwarded-0011");
  EXPECT_FALSE(first.sender.root) << "the proxy's rights are not those of whom it serves";
  head.id = "0022";
  EXPECT_NE(admit_peer(head, 0, {}).sender.owner, first.sender.owner);
  EXPECT_NE(admit_peer(head, 0, {}).sender.account, first.sender.account);
}

TEST(AdmitPeer, ATrustedProxyThatNamesNobodySpeaksForNobodyInParticular) {
  RequestHead head = head_to("x");
  EXPECT_EQ(admit_peer(head, 33, {33}).sender.account, "33/forwarded-0011");
  EXPECT_EQ(admit_peer(head, 33, {33}).sender.owner, "33/forwarded-0011");
  EXPECT_EQ(admit_peer(head, 34, {33}).sender.account, "34") << "no proxy";
  EXPECT_FALSE(admit_peer(head, 0, {0}).sender.root);
}

// ---- At a port

TEST(TcpGate, AnswersToItsOwnNamesOnly) {
  const TcpGate gate({"127.0.0.2:8080", {}, {"box.lan", "Proxy:443"}, {}},
                     parse_tcp_address("127.0.0.2:8080"));
  for (const char* host : {"localhost:8080", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080",
                           "127.0.0.2:8080", "box.lan", "box.lan:8080", "BOX.lan", "proxy:443"}) {
    const Admission admission = gate.admit(head_to(host));
    EXPECT_EQ(status_of(admission), 0u) << host;
    EXPECT_EQ(admission.sender.owner, "tcp");
  }
  for (const char* host :
       {"", "localhost", "localhost:80", "localhost:80800", "evil.example", "evil.example:8080",
        "localhost.:8080", "localhost:8080.evil.example", "xlocalhost:8080", "localhost:8080, evil.example",
        "127.0.0.3:8080", "proxy", "a@localhost:8080", "localhost:8080 "}) {
    const Admission admission = gate.admit(head_to(host));
    EXPECT_EQ(status_of(admission), 403u) << host;
    EXPECT_THAT(admission.reply->body, HasSubstr("listen.hosts")) << host;
  }
}

TEST(TcpGate, AtPort80TheNameAloneWillDo) {
  const TcpGate gate({"127.0.0.1:80", {}, {}, {}}, parse_tcp_address("127.0.0.1:80"));
  EXPECT_EQ(status_of(gate.admit(head_to("localhost"))), 0u);
  EXPECT_EQ(status_of(gate.admit(head_to("[::1]"))), 0u);
  EXPECT_EQ(status_of(gate.admit(head_to("evil.example"))), 403u);
}

TEST(TcpGate, PagesFromElsewhereMayNotCall) {
  const TcpGate gate({"127.0.0.1:8080", {}, {}, {"http://localhost:3000"}},
                     parse_tcp_address("127.0.0.1:8080"));
  RequestHead head = head_to("localhost:8080");
  for (const char* origin : {"http://evil.example", "null", "https://localhost:8080", "http://localhost:8081",
                             "http://127.0.0.1:8080", "http://localhost:3000.evil.example", "*",
                             "http://localhost:3000, http://localhost:3000"}) {
    head.origin = origin;
    const Admission admission = gate.admit(head);
    EXPECT_EQ(status_of(admission), 403u) << origin;
    EXPECT_EQ(header(admission.headers, "Access-Control-Allow-Origin"), "absent") << origin;
  }
  head.origin = "http://localhost:8080";
  EXPECT_EQ(status_of(gate.admit(head)), 0u) << "its own page";
  EXPECT_EQ(header(gate.admit(head).headers, "Access-Control-Allow-Origin"), "absent");
  head.origin = "http://localhost:3000";
  EXPECT_EQ(status_of(gate.admit(head)), 0u) << "configured";
  EXPECT_EQ(header(gate.admit(head).headers, "Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(header(gate.admit(head).headers, "Vary"), "Origin");
}

TEST(TcpGate, AnswersThePreflightsOfConfiguredOriginsOnly) {
  const TcpGate gate({"127.0.0.1:8080", some_keys(), {}, {"http://localhost:3000"}},
                     parse_tcp_address("127.0.0.1:8080"));
  RequestHead head = head_to("localhost:8080");
  head.method = "OPTIONS";
  head.preflight_method = "POST";
  head.preflight_headers = "authorization, x-custom";
  head.origin = "http://localhost:3000";
  const Admission allowed = gate.admit(head);
  ASSERT_EQ(status_of(allowed), 200u) << "without a key: browsers send none here";
  EXPECT_EQ(header(allowed.headers, "Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(header(allowed.reply->headers, "Access-Control-Allow-Headers"), "authorization, x-custom");
  EXPECT_EQ(header(allowed.reply->headers, "Access-Control-Allow-Methods"), "GET, POST, DELETE");
  head.origin = "http://evil.example";
  EXPECT_EQ(status_of(gate.admit(head)), 403u);
  head.origin = "http://localhost:8080";
  EXPECT_EQ(status_of(gate.admit(head)), 401u) << "no preflight is due at home: an ordinary request";
  head.origin = "http://localhost:3000";
  head.preflight_method = "";
  EXPECT_EQ(status_of(gate.admit(head)), 401u) << "OPTIONS alone is no preflight";
}

TEST(TcpGate, TheKeyIsTheOwner) {
  const TcpGate gate({"127.0.0.1:8080", some_keys(), {}, {}}, parse_tcp_address("127.0.0.1:8080"));
  const auto ask = [&gate](const std::string& authorization, const std::string& api_key) {
    RequestHead head = head_to("localhost:8080");
    head.authorization = authorization;
    head.api_key = api_key;
    head.client = "editor";
    return gate.admit(head);
  };
  for (const Admission& admission : {ask("Bearer " + kKey, ""), ask("bearer " + kKey, ""), ask("", kKey),
                                     ask("Bearer wrong", kKey), ask("Bearer " + kKey, "wrong")}) {
    EXPECT_EQ(status_of(admission), 0u);
    EXPECT_EQ(admission.sender.account, "key:alice");
    EXPECT_EQ(admission.sender.owner, "key:alice/editor");
    EXPECT_FALSE(admission.sender.root);
  }
  for (const Admission& admission :
       {ask("", ""), ask(kKey, ""), ask("Basic " + kKey, ""), ask("Bearer", ""), ask("Bearer  " + kKey, ""),
        ask("", kKey + ", " + kKey), ask("Bearer " + kKey + "x", "")}) {
    ASSERT_EQ(status_of(admission), 401u);
    EXPECT_EQ(header(admission.reply->headers, "WWW-Authenticate"), "Bearer");
    EXPECT_EQ(Json::parse(admission.reply->body)["error"]["code"], "invalid_api_key");
  }
}

TEST(TcpGate, TheStatusPageItselfNeedsNoKey) {
  const TcpGate gate({"127.0.0.1:8080", some_keys(), {}, {}}, parse_tcp_address("127.0.0.1:8080"));
  RequestHead head = head_to("localhost:8080");
  head.method = "GET";
  head.path = "/";
  EXPECT_EQ(status_of(gate.admit(head)), 0u);
  head.path = "/v1/status";
  EXPECT_EQ(status_of(gate.admit(head)), 401u);
  head.path = "/";
  head.host = "evil.example:8080";
  EXPECT_EQ(status_of(gate.admit(head)), 403u);
}

TEST(TcpGate, NobodySpeaksForOthersHere) {
  const TcpGate gate({"127.0.0.1:8080", {}, {}, {}}, parse_tcp_address("127.0.0.1:8080"));
  RequestHead head = head_to("localhost:8080");
  head.owner = "carol";
  EXPECT_EQ(status_of(gate.admit(head)), 403u);
}

TEST(TcpGate, OtherMachinesNeedKeys) {
  for (const char* text : {"0.0.0.0:8080", "192.168.1.5:8080", "[::]:8080"}) {
    const TcpAddress address = parse_tcp_address(text);
    EXPECT_THROW(TcpGate({text, {}, {}, {}}, address), BadListen) << text;
    EXPECT_NO_THROW(TcpGate({text, some_keys(), {}, {}}, address)) << text;
  }
}

}  // namespace
}  // namespace tandem::ipc
