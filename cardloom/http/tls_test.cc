#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "cardloom/http/test_server.h"

namespace cardloom::http {
namespace {

/// A self-signed certificate and its key, in files.
class Identity {
 public:
  explicit Identity(const std::string& name) : stem_(path_of(name)) { write(1); }
  ~Identity() {
    std::filesystem::remove(certificate());
    std::filesystem::remove(key());
  }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  [[nodiscard]] std::string certificate() const { return stem_ + ".crt"; }
  [[nodiscard]] std::string key() const { return stem_ + ".key"; }

  void write(long serial) const {
    EVP_PKEY* const pair = EVP_EC_gen("P-256");
    X509* const x509 = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x509), serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pair);
    X509_NAME* const subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_sign(x509, pair, EVP_sha256());
    FILE* file = std::fopen(certificate().c_str(), "w");
    PEM_write_X509(file, x509);
    std::fclose(file);
    file = std::fopen(key().c_str(), "w");
    PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(x509);
    EVP_PKEY_free(pair);
  }
  [[nodiscard]] ServerOptions options() const {
    ServerOptions options;
    options.tls_certificate = certificate();
    options.tls_key = key();
    return options;
  }

 private:
  static std::string path_of(const std::string& name) {
    return std::filesystem::temp_directory_path() /
           ("cardloom-" + std::to_string(getpid()) + "-" + name);
  }
  std::string stem_;
};

class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, int max_version = TLS1_3_VERSION)
      : client_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(nullptr) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, max_version);
    const unsigned char protocols[] = "\x02h2\x08http/1.1";
    SSL_CTX_set_alpn_protos(context_, protocols, sizeof(protocols) - 1);
    ssl_ = SSL_new(context_);
    const timeval most = {kPatience / std::chrono::seconds(1), 0};
    setsockopt(client_.fd(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    SSL_set_fd(ssl_, client_.fd());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(const std::string& bytes) {
    ASSERT_EQ(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())), std::ssize(bytes));
  }
  /// Everything until `end` was seen or the server has closed.
  std::string receive_until(const std::string& end) {
    std::string text;
    char bytes[4096];
    while (text.find(end) == std::string::npos) {
      const int count = SSL_read(ssl_, bytes, sizeof(bytes));
      if (count <= 0) break;
      text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
  }
  /// Whether the server has said goodbye, as TLS demands.
  [[nodiscard]] bool was_closed_cleanly() const {
    return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  [[nodiscard]] long serial() const {
    X509* const x509 = SSL_get1_peer_certificate(ssl_);
    const long number = ASN1_INTEGER_get(X509_get_serialNumber(x509));
    X509_free(x509);
    return number;
  }
  [[nodiscard]] std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  void hang_up() { client_.hang_up(); }

 private:
  Client client_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

TEST(Tls, RequestsAndStreams) {
  const Identity identity("tls");
  TestServer server(identity.options());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server->port(), version);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.protocol(), "http/1.1");
    client.send(post("/a", std::string(900, 'x')));
    EXPECT_NE(client.receive_until("x").find("HTTP/1.1 200 OK"), std::string::npos);
  }
  TlsClient client(server->port());
  client.send(get("/hold"));
  const auto exchange = server.held();
  exchange->begin_stream({200, {}, "one"});
  EXPECT_NE(client.receive_until("one").find("200"), std::string::npos);
  std::string long_piece(200000, 'x');
  exchange->write(long_piece + "two");
  EXPECT_GT(client.receive_until("two").size(), long_piece.size());
  exchange->end_stream();
  EXPECT_NE(client.receive_until("0\r\n\r\n").find("0\r\n\r\n"), std::string::npos);
  client.send(get("/last", "Connection: close\r\n"));
  EXPECT_NE(client.receive_until("never").find("GET /last"), std::string::npos);
  EXPECT_TRUE(client.was_closed_cleanly());
}

TEST(Tls, HangUpIsNoticed) {
  const Identity identity("tls-gone");
  TestServer server(identity.options());
  TlsClient client(server->port());
  client.send(get("/hold"));
  const auto exchange = server.held();
  std::atomic<int> gone{0};
  exchange->on_gone([&] { ++gone; });
  client.hang_up();
  EXPECT_TRUE(eventually([&] { return gone == 1; }));
}

TEST(Tls, OldVersionsAndPlainTextAreRefused) {
  const Identity identity("tls-old");
  TestServer server(identity.options());
  EXPECT_FALSE(TlsClient(server->port(), TLS1_1_VERSION).connected());
  Client plain(server->port());
  plain.send(get("/a"));
  EXPECT_TRUE(plain.is_closed_by_server());
  EXPECT_EQ(plain.unread().find("HTTP/1.1 200"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(Tls, HandshakeHasATimeLimit) {
  const Identity identity("tls-slow");
  ServerOptions options = identity.options();
  options.header_timeout_s = 1;
  TestServer server(options);
  Client silent(server->port());
  EXPECT_TRUE(silent.is_closed_by_server());
}

TEST(Tls, ReloadsOrKeeps) {
  const Identity identity("tls-reload");
  TestServer server(identity.options());
  TlsClient before(server->port());
  EXPECT_EQ(before.serial(), 1);
  identity.write(2);
  EXPECT_TRUE(server->reload_tls().ok());
  EXPECT_EQ(TlsClient(server->port()).serial(), 2);
  std::ofstream(identity.certificate()) << "no certificate";
  EXPECT_FALSE(server->reload_tls().ok());
  EXPECT_EQ(TlsClient(server->port()).serial(), 2);
  before.send(get("/a"));
  EXPECT_NE(before.receive_until("/a").find("200"), std::string::npos);
}

TEST(Tls, BadFilesAreNamed) {
  const Identity one("tls-one");
  const Identity other("tls-other");
  const Identity broken("tls-broken");
  std::ofstream(broken.key()) << "no key";
  const struct {
    std::string certificate;
    std::string key;
    std::string part;
  } cases[] = {
      {"/nonexistent.crt", one.key(), "cannot read a TLS certificate from /nonexistent.crt"},
      {one.certificate(), "/nonexistent.key", "cannot read a TLS key"},
      {one.certificate(), broken.key(), "cannot read a TLS key"},
      {one.certificate(), other.key(), "does not belong to the certificate"},
      {one.certificate(), "", "the key is missing"},
      {"", one.key(), "the certificate is missing"},
  };
  for (const auto& entry : cases) {
    ServerOptions options;
    options.tls_certificate = entry.certificate;
    options.tls_key = entry.key;
    const auto server = Server::start(options, {});
    ASSERT_FALSE(server) << entry.part;
    EXPECT_EQ(server.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(server.error().message.find(entry.part), std::string::npos) << server.error().message;
    EXPECT_NE(server.error().remedy.find("openssl req"), std::string::npos);
  }
}

}  // namespace
}  // namespace cardloom::http
