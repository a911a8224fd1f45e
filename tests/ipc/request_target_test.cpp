#include "ipc/request_target.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TEST(RequestTarget, HasAPathAndPerhapsAnAuthority) {
  struct Case {
    const char* target;
    const char* path;
    const char* authority;
  };
  for (const Case& one :
       {Case{"/v1/models", "/v1/models", ""}, Case{"/a?b=c://d", "/a", ""}, Case{"/a#b?c", "/a", ""},
        Case{"", "/", ""}, Case{"?x", "/", ""}, Case{"http://h:80/p/q?r", "/p/q", "h:80"},
        Case{"http://h", "/", "h"}, Case{"http://h?x", "/", "h"}, Case{"http://h#x/y", "/", "h"},
        Case{"*", "*", ""}, Case{"/x://y/z", "/x://y/z", ""}}) {
    const RequestTarget target = parse_target(one.target);
    EXPECT_EQ(target.path, one.path) << one.target;
    EXPECT_EQ(target.authority, one.authority) << one.target;
  }
}

TEST(RequestTarget, OfWhatThereIsOfARequest) {
  for (const auto& [request, target] :
       {std::pair("GET /a?b HTTP/1.1\r\nHost: x y\r\n", "/a?b"), std::pair("GET /a\nX: y", "/a"),
        std::pair("POST /v1/mess", "/v1/mess"), std::pair("POST  /a", ""), std::pair("GE", ""),
        std::pair("GET", ""), std::pair("GET\r\nX: /a HTTP", ""), std::pair("", "")}) {
    EXPECT_EQ(target_of(request), target) << request;
  }
}

}  // namespace
}  // namespace tandem::ipc
