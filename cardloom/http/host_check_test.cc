#include "cardloom/http/host_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cardloom::http {
namespace {

TEST(HostCheck, Loopback) {
  for (const char* const yes : {"localhost", "LocalHost", "127.0.0.1", "127.255.1.2", "::1",
                                "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_loopback(yes)) << yes;
  }
  for (const char* const no :
       {"", "0.0.0.0", "::", "128.0.0.1", "10.0.0.1", "127.1", "0127.0.0.1", "2130706433",
        "localhost.example", "::2", "::ffff:10.0.0.1", "127.0.0.1.example", "[]"}) {
    EXPECT_FALSE(is_loopback(no)) << no;
  }
}

TEST(HostCheck, HostsOfALoopbackServer) {
  const std::vector<std::string> names = {"cards.lan", "Lab:8443"};
  for (const char* const yes :
       {"localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "127.9.9.9", "[::1]",
        "[::1]:8000", "cards.lan", "Cards.LAN:99", "lab", "lab:1"}) {
    EXPECT_TRUE(is_acceptable_host(yes, names)) << yes;
  }
  for (const char* const no : {"",
                               ":8000",
                               "evil.example",
                               "evil.example:8000",
                               "localhost.evil.example",
                               "127.0.0.1.evil.example",
                               "localhost:80x",
                               "localhost:123456",
                               "localhost:80:80",
                               "::1",
                               "[::1",
                               "[::1]x",
                               "[::1]:x",
                               "[localhost]",
                               "192.168.1.2",
                               "evil@localhost",
                               "cards.lan.",
                               "xcards.lan",
                               "localhost ",
                               "127.0.0.1/"}) {
    EXPECT_FALSE(is_acceptable_host(no, names)) << no;
  }
  EXPECT_FALSE(is_acceptable_host(std::string_view("127.0.0.1\0.evil", 15), names));
}

}  // namespace
}  // namespace cardloom::http
