// What the server takes and what it refuses, byte by byte.
#include <gtest/gtest.h>

#include "cardloom/http/test_server.h"

namespace cardloom::http {
namespace {

struct Case {
  const char* name;
  std::string request;
  int status;
  std::string part;  ///< of the answer's body
  bool closes = true;
};

std::string raw(std::string_view line, std::string_view headers = "Host: a\r\n",
                std::string_view body = "") {
  return std::string(line) + "\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

std::string chunked(std::string_view body, std::string_view more = "",
                    std::string_view path = "/echo") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" +
         std::string(more) + "\r\n" + std::string(body);
}

std::vector<Case> cases() {
  std::string many_headers;
  for (int i = 0; i < 100; ++i) many_headers += "x: y\r\n";
  return {
      {"plain", get("/a?b=c"), 200, "GET /a?b=c ", false},
      {"empty lines before it", "\r\n\r\n" + get("/a"), 200, "GET /a? ", false},
      {"encoded path", get("/a%20b%2Fc?x%20y"), 200, "GET /a b/c?x%20y ", false},
      {"dots that do not climb", get("/a/.../..b/."), 200, "GET /a/.../..b/.? ", false},
      {"absolute form", raw("GET http://a/b?c HTTP/1.1"), 200, "GET /b?c ", false},
      {"absolute form without path", raw("GET http://a HTTP/1.1"), 200, "GET /? ", false},
      {"asterisk", raw("OPTIONS * HTTP/1.1"), 200, "OPTIONS *? ", false},
      {"odd method", raw("BREW /pot HTTP/1.1"), 200, "BREW /pot? ", false},
      {"post", post("/a", "body"), 200, "POST /a? body", false},
      {"get with body", raw("GET /a HTTP/1.1", "Host: a\r\nContent-Length: 2\r\n", "xy"), 200,
       "GET /a? xy", false},
      {"chunks", chunked("3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"), 200, "? abcde", false},
      {"quoted chunk extension", chunked("1;a=\"b;\\\"\"\r\nx\r\n0;c\r\n\r\n"), 200, "? x", false},
      {"no chunk", chunked("0\r\n\r\n"), 200, "POST /echo? ", false},
      {"trailers", chunked("1\r\nx\r\n0\r\nA: b\r\n\r\n"), 200, "? x", false},
      {"identity", post("/a", "b", "Content-Encoding: identity\r\n"), 200, "? b", false},
      {"HTTP/1.0", raw("GET /a HTTP/1.0", ""), 200, "GET /a? "},
      {"HTTP/1.0 kept", raw("GET /a HTTP/1.0", "Connection: keep-alive\r\n"), 200, "/a", false},
      {"asked to close", get("/a", "Connection: close\r\n"), 200, "GET /a? "},
      {"exact body limit", post("/small", "0123456789"), 200, "? 0123456789", false},
      {"exact header limit", raw("GET /a HTTP/1.1", "Host: a\r\n" + many_headers.substr(6)), 200,
       "", false},

      {"not HTTP", "hello\r\n\r\n", 400, "token"},
      {"TLS", std::string("\x16\x03\x01\x02\x00", 5), 400, "plain HTTP"},
      {"binary", std::string("\x00\x01", 2), 400, "byte 0"},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/1.1"},
      {"HTTP/0.9", "GET /\r\n\r\n", 400, ""},
      {"no host", raw("GET / HTTP/1.1", ""), 400, "one Host header; this one has 0"},
      {"two hosts", raw("GET / HTTP/1.1", "Host: a\r\nHost: b\r\n"), 400, "this one has 2"},
      {"line feeds alone", "GET / HTTP/1.1\nHost: a\n\n", 400, "CR LF"},
      {"CR alone", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400, "followed by LF"},
      {"control character", raw("GET / HTTP/1.1", "Host: a\r\nX: \x01\r\n"), 400, "is 1"},
      {"NUL", raw("GET / HTTP/1.1", std::string("Host: a\0\r\n", 10)), 400, "is 0"},
      {"folded", raw("GET / HTTP/1.1", "Host: a\r\nX: b\r\n c\r\n"), 400, "folded"},
      {"folded first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded"},
      {"space before colon", raw("GET / HTTP/1.1", "Host: a\r\nX : b\r\n"), 400, "token"},
      {"no colon", raw("GET / HTTP/1.1", "Host: a\r\nX\r\n"), 400, ""},
      {"space in target", raw("GET /a b HTTP/1.1"), 400, ""},
      {"relative target", raw("GET a HTTP/1.1"), 400, "begin with '/'"},
      {"fragment", raw("GET /a#b HTTP/1.1"), 400, "fragment"},
      {"bad percent", get("/a%2"), 400, "two hexadecimal"},
      {"bad percent digits", get("/a%zz"), 400, "two hexadecimal"},
      {"NUL in path", get("/a%00b"), 400, "NUL"},
      {"line feed in path", get("/a%0ab"), 400, "control"},
      {"climbing", get("/a/../b"), 400, "'..'"},
      {"climbing last", get("/a/.."), 400, "'..'"},
      {"climbing encoded", get("/a/%2e%2E%2fb"), 400, "'..'"},
      {"climbing by backslash", get("/a%5c..%5cb"), 400, "'..'"},
      {"long head", get("/a", "X: " + std::string(20000, 'x') + "\r\n"), 431, "16384 bytes"},
      {"long target", get("/" + std::string(20000, 'x')), 431, "16384 bytes"},
      {"many headers", raw("GET / HTTP/1.1", "Host: a\r\n" + many_headers), 431, "100 headers"},
      {"length and chunks", chunked("0\r\n\r\n", "Content-Length: 5\r\n"), 400, "without"},
      {"chunks and length",
       raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "0\r\n\r\n"),
       400, "without content-length"},
      {"two lengths",
       raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "abc"), 400,
       "once"},
      {"same length twice",
       raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n", "ab"), 400,
       "once"},
      {"list of lengths", raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 2, 2\r\n", "ab"), 400,
       "decimal"},
      {"negative length", raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: -1\r\n"), 400,
       "decimal"},
      {"signed length", raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: +1\r\n", "a"), 400,
       "decimal"},
      {"hex length", raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 0x1\r\n", "a"), 400,
       "decimal"},
      {"empty length", raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: \r\n"), 400, "decimal"},
      {"huge length",
       raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 99999999999999999999999\r\n"), 400,
       "decimal"},
      {"gzip coding", raw("POST / HTTP/1.1", "Host: a\r\nTransfer-Encoding: gzip\r\n"), 501,
       "gzip"},
      {"gzip and chunked",
       raw("POST / HTTP/1.1", "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"), 501, "gzip"},
      {"two codings", chunked("0\r\n\r\n", "Transfer-Encoding: chunked\r\n"), 400, "once"},
      {"chunks in HTTP/1.0", raw("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       400, "HTTP/1.0"},
      {"compressed", post("/a", "b", "Content-Encoding: gzip\r\n"), 415, "gzip"},
      {"body too large", post("/small", "01234567890"), 413, "10 bytes; content-length is 11"},
      {"far too large",
       raw("POST / HTTP/1.1", "Host: a\r\nContent-Length: 18446744073709551615\r\n"), 413,
       "1000 bytes"},
      {"chunks too large", chunked("6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n", "", "/small"), 413,
       "10 bytes"},
      {"chunk far too large", chunked("ffffffffffffffff\r\n"), 413, "1000 bytes"},
      {"chunk size overflow", chunked("10000000000000000\r\n"), 400, "hexadecimal"},
      {"chunk not hexadecimal", chunked("xyz\r\n"), 400, "hexadecimal"},
      {"negative chunk", chunked("-1\r\nxx\r\n"), 400, "hexadecimal"},
      {"chunk with half a quote", chunked("1;a=\"\r\nx\r\n0\r\n\r\n"), 400, "hexadecimal"},
      {"chunk with an escaped quote", chunked("1;a=\"\\\"\r\nx\r\n0\r\n\r\n"), 400, "hexadecimal"},
      {"last chunk with half a quote", chunked("0;a=\"\r\n\r\n"), 400, "hexadecimal"},
      {"chunk without end", chunked("1\r\nabcdefg\r\n"), 400, "hexadecimal"},
      {"endless chunk extension", chunked("1;" + std::string(5000, 'x')), 400, "4096"},
      {"endless trailers", chunked("0\r\nX: " + std::string(5000, 'x')), 400, "4096"},
      {"denied", get("/denied"), 401, "denied", false},
      {"denied with body", post("/denied", "body"), 401, "denied", false},
      {"denied with large body",
       raw("POST /denied HTTP/1.1", "Host: a\r\nContent-Length: 70000\r\n"), 401, "denied"},
      {"denied with chunks", chunked("0\r\n\r\n", "", "/denied"), 401, "denied"},
  };
}

void check(const Case& expected, Client& client) {
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, expected.status) << reply.body;
  EXPECT_NE(reply.body.find(expected.part), std::string::npos) << reply.body;
  EXPECT_NE(reply.head.find(expected.closes ? "connection: close" : "connection: keep-alive"),
            std::string::npos)
      << reply.head;
  if (expected.closes) {
    // At once: a server that lingers has shut its side.
    EXPECT_TRUE(client.is_closed_by_server());
  } else {
    const Reply next = client.ask(get("/next"));
    EXPECT_EQ(next.body, "GET /next? ");
  }
}

TEST(Request, EachHasItsExactAnswer) {
  TestServer server;
  for (const Case& expected : cases()) {
    SCOPED_TRACE(expected.name);
    Client client(server->port());
    client.send(expected.request);
    check(expected, client);
  }
  EXPECT_GT(server->stats().refused, 40U);
}

TEST(Request, OneByteAtATimeIsTheSame) {
  TestServer server;
  for (const Case& expected : cases()) {
    if (expected.request.size() > 400) continue;
    SCOPED_TRACE(expected.name);
    Client client(server->port());
    const int on = 1;
    setsockopt(client.fd(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
    for (const char byte : expected.request) client.send({&byte, 1});
    check(expected, client);
  }
}

TEST(Request, HeadHasNoBody) {
  TestServer server;
  Client client(server->port());
  client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + get("/b"));
  const Reply reply = client.read_reply(true);
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.head.find("content-length: 9\r\n"), std::string::npos) << reply.head;
  EXPECT_EQ(client.read_reply().body, "GET /b? ");
}

TEST(Request, PipelinedAreAnsweredInTurn) {
  TestServer server;
  Client client(server->port());
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    requests += i % 2 == 0 ? get("/" + std::to_string(i)) : post("/p", std::to_string(i));
  }
  client.send(requests);
  for (int i = 0; i < 200; ++i) {
    const std::string number = std::to_string(i);
    EXPECT_EQ(client.read_reply().body,
              i % 2 == 0 ? "GET /" + number + "? " : "POST /p? " + number);
  }
}

TEST(Request, PipelinedBehindAHeldOneWaits) {
  TestServer server;
  Client client(server->port());
  client.send(get("/hold") + get("/next"));
  const auto exchange = server.held();
  EXPECT_FALSE(client.receive(milliseconds(50)));
  exchange->respond({200, {}, "first"});
  EXPECT_EQ(client.read_reply().body, "first");
  EXPECT_EQ(client.read_reply().body, "GET /next? ");
}

TEST(Request, ContinueIsSaidBeforeTheBodyIsSent) {
  TestServer server;
  Client client(server->port());
  client.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_reply(true).head, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.ask("xy").body, "POST /a? xy");
  client.send(
      "POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n");
  EXPECT_EQ(client.read_reply().status, 413);
}

TEST(Request, LargeBodyInPieces) {
  std::string received;
  std::atomic<bool> done{false};
  Hooks hooks;
  hooks.admit = [](const RequestHead&) {
    return Admission{.refusal = {}, .max_body_bytes = 64 << 20};
  };
  hooks.handle = [&](const std::shared_ptr<Exchange>& exchange) {
    received = std::move(exchange->body());
    done = true;
    exchange->respond({204, {}, ""});
  };
  const auto server = Server::start({}, hooks).value_or_throw();
  std::string body(5 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761U >> 24);
  Client client(server->port());
  const Reply reply = client.ask(post("/a", body));
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.head.find("content-length"), std::string::npos);
  ASSERT_TRUE(done);
  EXPECT_TRUE(received == body);
}

}  // namespace
}  // namespace cardloom::http
