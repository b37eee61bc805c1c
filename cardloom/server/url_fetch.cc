#include "cardloom/server/url_fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "cardloom/base/ascii.h"

namespace cardloom::server {
namespace {

struct Network4 {
  std::uint32_t address;
  int prefix;
};

constexpr std::uint32_t ip4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

constexpr std::array kSpecial4 = {
    Network4{ip4(0, 0, 0, 0), 8},        // this network
    Network4{ip4(10, 0, 0, 0), 8},       // private
    Network4{ip4(100, 64, 0, 0), 10},    // shared by carriers
    Network4{ip4(127, 0, 0, 0), 8},      // loopback
    Network4{ip4(169, 254, 0, 0), 16},   // link-local, where clouds keep their secrets
    Network4{ip4(172, 16, 0, 0), 12},    // private
    Network4{ip4(192, 0, 0, 0), 24},     // protocol assignments
    Network4{ip4(192, 0, 2, 0), 24},     // documentation
    Network4{ip4(192, 31, 196, 0), 24},  // AS112
    Network4{ip4(192, 52, 193, 0), 24},  // AMT
    Network4{ip4(192, 88, 99, 0), 24},   // 6to4 relays
    Network4{ip4(192, 168, 0, 0), 16},   // private
    Network4{ip4(192, 175, 48, 0), 24},  // AS112
    Network4{ip4(198, 18, 0, 0), 15},    // benchmarks
    Network4{ip4(198, 51, 100, 0), 24},  // documentation
    Network4{ip4(203, 0, 113, 0), 24},   // documentation
    Network4{ip4(224, 0, 0, 0), 4},      // multicast
    Network4{ip4(240, 0, 0, 0), 4},      // reserved, broadcast
};

bool is_public4(std::uint32_t address) {
  return std::none_of(kSpecial4.begin(), kSpecial4.end(), [&](const Network4& network) {
    return (address ^ network.address) >> (32 - network.prefix) == 0;
  });
}

std::uint32_t word_at(const std::uint8_t* bytes) {
  return ip4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

bool is_public6(const std::uint8_t* bytes) {
  const std::uint32_t first = word_at(bytes);
  const bool leading_zeros = std::all_of(bytes, bytes + 10, [](std::uint8_t b) { return b == 0; });
  if (leading_zeros) {  // v4-mapped ::ffff:a.b.c.d; all else here is loopback or long deprecated
    return bytes[10] == 0xFF && bytes[11] == 0xFF && is_public4(word_at(bytes + 12));
  }
  if (first == 0x0064FF9B) {  // NAT64; its local-use part 64:ff9b:1::/48 is not public
    return word_at(bytes + 4) == 0 && word_at(bytes + 8) == 0 && is_public4(word_at(bytes + 12));
  }
  if (first >> 29 != 1) return false;  // outside 2000::/3 nothing is global unicast
  if (first >> 16 == 0x2002) return is_public4(word_at(bytes + 2));  // 6to4
  if (first >> 9 == 0x20010000U >> 9) return false;  // 2001::/23: Teredo and other protocols
  if (first == 0x20010DB8) return false;             // documentation
  return first >> 20 != 0x3FF;                       // 3fff::/20 documentation
}

struct CurlDelete {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDelete>;
using CurlText = std::unique_ptr<char, CurlDelete>;

CURL* new_handle() {
  // Once a process, and not at exit: other threads may still fetch.
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  return initialised == CURLE_OK ? curl_easy_init() : nullptr;
}

/// What the callbacks of one transfer share.
struct Transfer {
  const FetchOptions& options;
  std::string body;
  bool too_long = false;
  bool refused_address = false;
};

std::size_t take_bytes(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  if (transfer.body.size() + bytes > static_cast<std::size_t>(transfer.options.max_bytes)) {
    transfer.too_long = true;
    return 0;
  }
  transfer.body.append(data, bytes);
  return bytes;
}

curl_socket_t open_judged(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.options.any_address && !is_public_address(address->addr, address->addrlen)) {
    transfer.refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

template <class Value>
void set(CURL* curl, CURLoption option, Value value) {
  curl_easy_setopt(curl, option, value);  // fails for unknown options only
}

void configure(CURL* curl, const std::string& url, Transfer& transfer) {
  set(curl, CURLOPT_URL, url.c_str());
  set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  set(curl, CURLOPT_FOLLOWLOCATION, 0L);
  set(curl, CURLOPT_PROXY, "");  // not even one from the environment
  set(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(curl, CURLOPT_NOSIGNAL, 1L);
  set(curl, CURLOPT_USERAGENT, "cardloom");
  set(curl, CURLOPT_TIMEOUT, static_cast<long>(transfer.options.timeout_s));
  set(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(transfer.options.timeout_s));
  // Less than 1 KiB/s for half the time: nobody's picture, somebody's trick to hold a thread.
  set(curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
  set(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max(1, transfer.options.timeout_s / 2)));
  set(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(transfer.options.max_bytes));
  set(curl, CURLOPT_WRITEFUNCTION, &take_bytes);
  set(curl, CURLOPT_WRITEDATA, &transfer);
  set(curl, CURLOPT_OPENSOCKETFUNCTION, &open_judged);
  set(curl, CURLOPT_OPENSOCKETDATA, &transfer);
}

Error too_long(const FetchOptions& options) {
  return make_error(
      ErrorCode::kResourceExhausted,
      fmt::format("the picture has more than the {} bytes allowed", options.max_bytes), {},
      "send a smaller picture");
}

Error failure_of(CURLcode code, const Transfer& transfer) {
  if (transfer.refused_address) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the picture's host is not on the public internet", {},
                      "send the picture as a data: URL");
  }
  if (transfer.too_long || code == CURLE_FILESIZE_EXCEEDED) return too_long(transfer.options);
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return make_error(
        ErrorCode::kDeadlineExceeded,
        fmt::format("the picture did not arrive within {} s", transfer.options.timeout_s), {},
        "try again, or send the picture as a data: URL");
  }
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("the picture could not be fetched: {}", curl_easy_strerror(code)),
                    {}, "check the URL, or send the picture as a data: URL");
}

Error no_url() {
  return make_error(ErrorCode::kInvalidArgument, "this is no http or https URL", {},
                    "send https://host/path, or a data: URL");
}

CurlText part(CURLU* url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  return CurlText(curl_url_get(url, what, &text, flags) == CURLUE_OK ? text : nullptr);
}

}  // namespace

bool is_public_address(const sockaddr& address, socklen_t length) {
  if (address.sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return is_public4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    return is_public6(v6.sin6_addr.s6_addr);
  }
  return false;
}

Result<UrlTarget> target_of_url(const std::string& url) {
  const std::unique_ptr<CURLU, CurlDelete> parsed(curl_url());
  if (parsed == nullptr || url.find('\0') != std::string::npos ||
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return no_url();
  }
  const CurlText scheme = part(parsed.get(), CURLUPART_SCHEME);
  const CurlText host = part(parsed.get(), CURLUPART_HOST);
  const CurlText port = part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (scheme == nullptr || host == nullptr || port == nullptr ||
      (std::strcmp(scheme.get(), "http") != 0 && std::strcmp(scheme.get(), "https") != 0)) {
    return no_url();
  }
  UrlTarget target{lower_case(host.get()), static_cast<std::uint16_t>(std::atoi(port.get()))};
  if (target.host.starts_with('[')) target.host = target.host.substr(1, target.host.size() - 2);
  return target;
}

Result<Fetched> fetch_url(const std::string& url, const FetchOptions& options) {
  const CurlHandle curl(new_handle());
  if (curl == nullptr) return make_error(ErrorCode::kResourceExhausted, "memory ran out");
  Transfer transfer{options, {}};
  configure(curl.get(), url, transfer);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) return failure_of(code, transfer);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 300 && status < 400) {
    char* target = nullptr;
    curl_easy_getinfo(curl.get(), CURLINFO_REDIRECT_URL, &target);
    if (target != nullptr) return Fetched{{}, target};
  }
  if (status != 200) {
    return make_error(ErrorCode::kNotFound, fmt::format("the picture's server answered {}", status),
                      {}, "check the URL, or send the picture as a data: URL");
  }
  return Fetched{std::move(transfer.body), {}};
}

}  // namespace cardloom::server
