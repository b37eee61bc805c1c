#include "cardloom/server/url_fetch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <thread>

#include "cardloom/server/picture_source.h"

namespace cardloom::server {
namespace {

bool is_public(const char* text) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    return is_public_address(reinterpret_cast<const sockaddr&>(v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
  return is_public_address(reinterpret_cast<const sockaddr&>(v6), sizeof v6);
}

TEST(PublicAddress, IsWhatTheRegistriesSay) {
  for (const char* text :
       {"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
        "172.15.255.255", "172.32.0.0", "192.167.255.255", "223.255.255.255", "2606:4700::1111",
        "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.51.100.7",
                           "203.0.113.9",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:127.0.0.1",
                           "::ffff:169.254.169.254",
                           "::127.0.0.1",
                           "fe80::1",
                           "fc00::1",
                           "fd12:3456::1",
                           "ff02::1",
                           "2001:db8::1",
                           "2001::1",
                           "2002:7f00:1::1",
                           "64:ff9b::7f00:1",
                           "64:ff9b:1::808:808",
                           "3fff::1",
                           "100::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_FALSE(is_public_address(other, sizeof other));
}

TEST(TargetOfUrl, IsWhatTheFetcherWouldAsk) {
  const auto target = [](const char* url) {
    const Result<UrlTarget> found = target_of_url(url);
    return found ? found->host + ":" + std::to_string(found->port) : "none";
  };
  EXPECT_EQ(target("http://Example.COM/cat.jpg"), "example.com:80");
  EXPECT_EQ(target("https://example.com"), "example.com:443");
  EXPECT_EQ(target("http://example.com:8080/x"), "example.com:8080");
  EXPECT_EQ(target("http://[::1]/x"), "::1:80");
  for (const char* url : {"", "http:", "ftp://example.com/x", "gopher://x", "file:///etc/passwd",
                          "http://user:secret@example.com/", "http://user@example.com/",
                          "http://exa mple.com/", "http://example.com:99999/"}) {
    EXPECT_EQ(target(url), "none") << url;
  }
}

/// Answers each connection with the next of `answers`, on a port of its own.
class OneShotServer {
 public:
  explicit OneShotServer(std::vector<std::string> answers) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_, 8);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answers = std::move(answers)] {
      for (const std::string& answer : answers) {
        const int client = accept(listener_, nullptr, nullptr);
        if (client < 0) return;
        char request[4096];
        requests_ += std::string(request, static_cast<std::size_t>(std::max<ssize_t>(
                                              0, recv(client, request, sizeof request, 0))));
        static_cast<void>(!send(client, answer.data(), answer.size(), MSG_NOSIGNAL));
        shutdown(client, SHUT_WR);
        while (recv(client, request, sizeof request, 0) > 0) {
        }
        close(client);
      }
    });
  }
  ~OneShotServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string url(const std::string& path) const { return "http://" + host() + path; }
  [[nodiscard]] const std::string& requests() const { return requests_; }

 private:
  int listener_ = -1;
  int port_ = 0;
  std::string requests_;
  std::thread thread_;
};

std::string answer(const std::string& status, const std::string& headers, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nconnection: close\r\n" + headers + "\r\n" + body;
}

std::unique_ptr<PictureSource> source_for(const std::string& host, std::int64_t max_bytes = 1000) {
  PictureSourceOptions options;
  options.max_bytes = max_bytes;
  options.fetch = PictureSourceOptions::Fetch::kAllowed;
  options.allowed_hosts = {host};
  options.fetch_timeout_s = 30;
  return *PictureSource::open(std::move(options));
}

/// An allowed name whose address turns into one of the house, by whoever owns the name, leads
/// nowhere.
TEST(PictureSource, ANameWithoutAPortMustLeadToAPublicAddress) {
  for (const char* url : {"http://localhost/x", "https://localhost/x"}) {
    const Result<std::string> bytes = source_for("localhost")->get(url);
    ASSERT_FALSE(bytes);
    EXPECT_NE(bytes.error().message.find("not on the public internet"), std::string::npos)
        << bytes.error().describe();
  }
}

TEST(PictureSource, FetchesFromAnAllowedHost) {
  const OneShotServer server({answer("200 OK", "", "the picture")});
  const Result<std::string> bytes = source_for(server.host())->get(server.url("/cat.jpg"));
  ASSERT_TRUE(bytes) << bytes.error().describe();
  EXPECT_EQ(*bytes, "the picture");
  EXPECT_EQ(server.requests().find("GET /cat.jpg"), 0U);
}

TEST(PictureSource, FollowsRedirectsToAllowedHostsOnly) {
  const OneShotServer other({});
  {
    const OneShotServer server(
        {answer("302 Found", "location: /there\r\n", ""), answer("200 OK", "", "found")});
    const Result<std::string> bytes = source_for(server.host())->get(server.url("/here"));
    ASSERT_TRUE(bytes) << bytes.error().describe();
    EXPECT_EQ(*bytes, "found");
  }
  for (const std::string& target :
       {other.url("/"), std::string("http://169.254.169.254/meta"),
        std::string("file:///etc/passwd"), std::string("gopher://127.0.0.1/x")}) {
    const OneShotServer server({answer("302 Found", "location: " + target + "\r\n", "")});
    const Result<std::string> bytes = source_for(server.host())->get(server.url("/here"));
    ASSERT_FALSE(bytes) << target;
    EXPECT_EQ(bytes.error().code, ErrorCode::kInvalidArgument) << target;
  }
  const OneShotServer loop(std::vector<std::string>(5, answer("302 Found", "location: /\r\n", "")));
  EXPECT_EQ(source_for(loop.host())->get(loop.url("/")).error().code, ErrorCode::kUnavailable);
}

TEST(PictureSource, LimitsWhatItFetches) {
  const std::string big(5000, 'x');
  for (const std::string& headers : {std::string("content-length: 5000\r\n"), std::string(),
                                     std::string("content-length: 99999999999\r\n")}) {
    const OneShotServer server({answer("200 OK", headers, big)});
    const Result<std::string> bytes = source_for(server.host())->get(server.url("/"));
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.error().code, ErrorCode::kResourceExhausted);
    EXPECT_NE(bytes.error().message.find("1000"), std::string::npos);
  }
}

TEST(PictureSource, TellsWhatTheOtherSideDid) {
  const OneShotServer missing({answer("404 Not Found", "", "no")});
  EXPECT_EQ(source_for(missing.host())->get(missing.url("/")).error().code, ErrorCode::kNotFound);
  const OneShotServer broken({"nonsense\r\n\r\n"});
  EXPECT_EQ(source_for(broken.host())->get(broken.url("/")).error().code, ErrorCode::kUnavailable);
}

TEST(PictureSource, PublicFetchRefusesOurOwnNetwork) {
  PictureSourceOptions options;
  options.fetch = PictureSourceOptions::Fetch::kPublic;
  const auto source = *PictureSource::open(std::move(options));
  // Names are judged by what they resolve to, when the socket is opened: as localhost here, so a
  // name that means another address the second time.
  for (const char* url : {"http://127.0.0.1/x",
                          "http://localhost/x",
                          "http://[::1]/x",
                          "http://169.254.169.254/latest",
                          "http://0x7f.1/x",
                          "http://2130706433/",
                          "http://127.1/",
                          "http://0177.0.0.1/",
                          "http://0x7f000001/",
                          "http://017700000001/",
                          "http://0/",
                          "http://[::ffff:127.0.0.1]/",
                          "http://[::ffff:a9fe:a9fe]/",
                          "http://[::ffff:0:7f00:1]/",
                          "http://[64:ff9b::7f00:1]/",
                          "http://[64:ff9b:1::a00:1]/",
                          "http://[2002:7f00:1::]/",
                          "http://[::127.0.0.1]/",
                          "http://[fe80::1]/",
                          "http://[fd00::1]/",

                          "HTTP://LOCALHOST/",
                          "http://127.0.0.1:8080/x",
                          "http://10.0.0.1:22/",
                          "http://a:b@127.0.0.1/",
                          "http://example.com@127.0.0.1/",
                          "http://127.0.0.1\\@example.com/",
                          "http://example.com\\@127.0.0.1/"}) {
    const Result<std::string> bytes = source->get(url);
    ASSERT_FALSE(bytes) << url;
    EXPECT_EQ(bytes.error().code, ErrorCode::kInvalidArgument) << url << bytes.error().message;
  }
}

}  // namespace
}  // namespace cardloom::server
