#include "cardloom/http/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string_view>
#include <utility>

namespace cardloom::http {
namespace {

Error tls_error(std::string message, std::string remedy) {
  char text[256] = "no reason given";
  if (const unsigned long code = ERR_get_error(); code != 0) {
    ERR_error_string_n(code, text, sizeof(text));
  }
  ERR_clear_error();
  return make_error(ErrorCode::kInvalidArgument, std::move(message), text, std::move(remedy));
}

/// OpenSSL would ask for the password of a key at the terminal.
int no_password(char*, int, int, void*) { return 0; }

/// Clients that can speak HTTP/2 are told that this server speaks HTTP/1.1.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr std::string_view kOurs = "\x08http/1.1";
  unsigned char* out = nullptr;
  const int result =
      SSL_select_next_proto(&out, chosen_size, reinterpret_cast<const unsigned char*>(kOurs.data()),
                            static_cast<unsigned int>(kOurs.size()), offered, offered_size);
  *chosen = out;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

Result<std::shared_ptr<boost::asio::ssl::context>> load_tls(const std::string& certificate,
                                                            const std::string& key) {
  auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
  SSL_CTX* const handle = context->native_handle();
  ERR_clear_error();
  SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
  SSL_CTX_set_options(handle, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_default_passwd_cb(handle, no_password);
  SSL_CTX_set_alpn_select_cb(handle, choose_protocol, nullptr);
  // Not with the names that were given: the command would write over somebody's key.
  const std::string make_one =
      "both must be PEM files that belong together; a pair for tests: openssl req -x509 -newkey "
      "rsa:2048 -nodes -days 30 -subj /CN=localhost -keyout test-key.pem -out test-cert.pem";
  if (certificate.empty() || key.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("TLS needs a certificate and its key; the {} is missing",
                                  key.empty() ? "key" : "certificate"),
                      fmt::format("only {} was given", key.empty() ? certificate : key), make_one);
  }
  if (SSL_CTX_use_certificate_chain_file(handle, certificate.c_str()) != 1) {
    return tls_error(fmt::format("cannot read a TLS certificate from {}", certificate), make_one);
  }
  if (SSL_CTX_use_PrivateKey_file(handle, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ERR_peek_error();
    const bool foreign =
        ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH;
    return tls_error(foreign ? fmt::format("the TLS key {} does not belong to the certificate {}",
                                           key, certificate)
                             : fmt::format("cannot read a TLS key (without password) from {}", key),
                     make_one);
  }
  if (SSL_CTX_check_private_key(handle) != 1) {
    return tls_error(
        fmt::format("the TLS key {} does not belong to the certificate {}", key, certificate),
        make_one);
  }
  return context;
}

}  // namespace cardloom::http
