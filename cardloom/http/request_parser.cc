#include "cardloom/http/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>

#include "cardloom/base/ascii.h"
#include "cardloom/http/request_target.h"

namespace cardloom::http {
namespace {

namespace beast_http = boost::beast::http;
using boost::beast::error_code;
using BeastText = boost::beast::string_view;

/// Of a chunk's size line, and of the trailers: nobody needs more, and they stay in memory.
constexpr std::size_t kMaxChunkLine = 4096;

std::string describe(const error_code& failure) {
  using beast_http::error;
  if (failure == error::bad_version) return "the request line must end with HTTP/1.1 or HTTP/1.0";
  if (failure == error::bad_method) return "the method of a request must be a token";
  if (failure == error::bad_target)
    return "the request target has a character that must be encoded";
  if (failure == error::bad_field) return "a header must be a token, a colon and a value";
  if (failure == error::bad_content_length) {
    return "content-length must be one decimal number, without transfer-encoding";
  }
  if (failure == error::multiple_content_length) return "content-length must be given once";
  if (failure == error::bad_transfer_encoding) {
    return "transfer-encoding must be given once, without content-length";
  }
  if (failure == error::bad_chunk || failure == error::bad_chunk_extension) {
    return "a chunk of the body must begin with its size in hexadecimal and end with CR LF";
  }
  return fmt::format("the request is not HTTP/1.1: {}", failure.message());
}

/// Whether the size line of a chunk is there as a whole and a quote that begins in it does not end
/// in it. Beast 1.81 looks for the end in what follows the line, waits for it, and takes the chunk
/// off the body's limit again each time it looks.
bool has_open_quote(std::string_view chunk) {
  if (chunk.starts_with("\r\n")) chunk.remove_prefix(2);  // behind the chunk before
  const std::size_t end = chunk.find("\r\n");
  if (end == std::string_view::npos) return false;
  bool is_open = false;
  for (std::size_t i = 0; i < end; ++i) {
    if (chunk[i] == '"') is_open = !is_open;
    if (chunk[i] == '\\' && is_open) ++i;
  }
  return is_open;
}

}  // namespace

std::string_view find_header(const Headers& headers, std::string_view name) {
  const auto it = std::find_if(headers.begin(), headers.end(),
                               [name](const auto& header) { return header.first == name; });
  return it == headers.end() ? std::string_view() : std::string_view(it->second);
}

class RequestParser::Impl final : public beast_http::basic_parser<true> {
 public:
  explicit Impl(const HeadLimits& limits) : scanner_(limits) {
    // The scanner has counted the head; chunk lines are counted in take_body_bytes().
    header_limit(std::numeric_limits<std::uint32_t>::max());
    body_limit(boost::none);
  }

  std::size_t take_head_bytes(std::string_view bytes);
  std::size_t take_body_bytes(std::string_view bytes);
  void limit(std::int64_t max_bytes, bool keep);
  void refuse(int status, std::string why) {
    if (!refusal) refusal = Refusal{.status = status, .why = std::move(why)};
  }
  [[nodiscard]] std::int64_t count(std::string_view name) const {
    return std::count_if(head.headers.begin(), head.headers.end(),
                         [name](const auto& header) { return header.first == name; });
  }

  RequestHead head;
  std::string target;
  std::string body;
  bool is_http_1_1 = false;
  std::optional<Refusal> refusal;

 private:
  void judge_head();
  void judge_body_headers();
  void keep_body(BeastText bytes) {
    if (keep_) body.append(bytes.data(), bytes.size());
  }

  void on_request_impl(beast_http::verb, BeastText method, BeastText request_target, int version,
                       error_code&) override {
    head.method.assign(method.data(), method.size());
    target.assign(request_target.data(), request_target.size());
    is_http_1_1 = version == 11;
  }
  void on_field_impl(beast_http::field, BeastText name, BeastText value, error_code&) override {
    // After the head these are trailers: nobody reads them, and they must not pose as headers.
    if (is_header_done()) return;
    head.headers.emplace_back(lower_case(name), std::string(value.data(), value.size()));
  }
  std::size_t on_body_impl(BeastText bytes, error_code&) override {
    keep_body(bytes);
    return bytes.size();
  }
  std::size_t on_chunk_body_impl(std::uint64_t, BeastText bytes, error_code&) override {
    keep_body(bytes);
    return bytes.size();
  }
  void on_response_impl(int, BeastText, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  void on_chunk_header_impl(std::uint64_t, BeastText, error_code&) override {}
  void on_finish_impl(error_code&) override {}

  HeadScanner scanner_;
  std::int64_t max_body_bytes_ = 0;
  bool keep_ = true;
};

std::size_t RequestParser::Impl::take_head_bytes(std::string_view bytes) {
  // RFC 9112 2.2: empty lines before the request line are passed over.
  std::size_t skipped = 0;
  if (scanner_.size() == 0) {
    while (bytes.substr(skipped, 2) == "\r\n") skipped += 2;
    bytes.remove_prefix(skipped);
    if (bytes == "\r") return skipped;
  }
  const HeadScanner::State scanned = scanner_.scan(bytes);
  if (scanned == HeadScanner::State::kRefused) {
    refuse(scanner_.refusal().status, scanner_.refusal().why);
  }
  if (scanned != HeadScanner::State::kDone) return skipped;
  error_code failure;
  put(boost::asio::const_buffer(bytes.data(), scanner_.size()), failure);
  if (!failure && !is_header_done()) failure = beast_http::error::bad_field;
  if (failure) {
    refuse(400, describe(failure));
  } else {
    judge_head();
  }
  return skipped + scanner_.size();
}

void RequestParser::Impl::judge_head() {
  const std::int64_t num_hosts = count("host");
  if (num_hosts > 1 || (num_hosts == 0 && is_http_1_1)) {
    return refuse(400,
                  fmt::format("a request must have one Host header; this one has {}", num_hosts));
  }
  Result<RequestTarget> parsed = http::parse_target(target);
  if (!parsed) return refuse(400, parsed.error().message);
  head.path = std::move(parsed->path);
  head.query = std::move(parsed->query);
  judge_body_headers();
}

void RequestParser::Impl::judge_body_headers() {
  const std::int64_t num_lengths = count("content-length");
  const std::int64_t num_codings = count("transfer-encoding");
  if (num_lengths + num_codings > 1) {
    return refuse(400, fmt::format("a request must say once how long its body is; this one has {} "
                                   "content-length and {} transfer-encoding headers",
                                   num_lengths, num_codings));
  }
  const std::string_view length = find_header(head.headers, "content-length");
  if (num_lengths == 1 && (length.empty() || !std::all_of(length.begin(), length.end(), [](char c) {
                             return c >= '0' && c <= '9';
                           }))) {
    return refuse(400, "content-length must be one decimal number");
  }
  if (num_codings == 1) {
    const std::string coding = lower_case(find_header(head.headers, "transfer-encoding"));
    if (!is_http_1_1) return refuse(400, "HTTP/1.0 has no transfer-encoding");
    if (coding != "chunked") {
      return refuse(
          501, fmt::format("the only transfer-encoding understood is chunked, not {:.40}", coding));
    }
  }
  const std::string coding = lower_case(find_header(head.headers, "content-encoding"));
  if (!coding.empty() && coding != "identity") {
    refuse(415,
           fmt::format("a request body must not be compressed (identity), not {:.40}", coding));
  }
}

void RequestParser::Impl::limit(std::int64_t max_bytes, bool keep) {
  keep_ = keep;
  max_body_bytes_ = max_bytes;
  const boost::optional<std::uint64_t> length = content_length();
  if (length && *length > static_cast<std::uint64_t>(max_bytes)) {
    return refuse(
        413, fmt::format("the body may have {} bytes; content-length is {}", max_bytes, *length));
  }
  body_limit(static_cast<std::uint64_t>(max_bytes));
}

std::size_t RequestParser::Impl::take_body_bytes(std::string_view bytes) {
  // A chunk line needs 5 bytes ("0\r\n\r\n"; shorter ones trip an assertion of Beast 1.81), and no
  // chunked body ends with less than 5 bytes untaken, so waiting for them loses nothing.
  const std::size_t least = chunked() ? 5 : 1;
  std::size_t taken = 0;
  while (!is_done() && !refusal && bytes.size() - taken >= least) {
    error_code failure;
    taken += put(boost::asio::const_buffer(bytes.data() + taken, bytes.size() - taken), failure);
    if (failure == beast_http::error::need_more) {
      if (has_open_quote(bytes.substr(taken))) {
        refuse(400, describe(beast_http::error::bad_chunk_extension));
      } else if (bytes.size() - taken > kMaxChunkLine) {
        refuse(400, fmt::format("a chunk's size line, or the trailers, may have {} bytes",
                                kMaxChunkLine));
      }
      break;
    }
    if (failure == beast_http::error::body_limit) {
      refuse(413, fmt::format("the body may have {} bytes; this one, chunked, has more",
                              max_body_bytes_));
    } else if (failure) {
      refuse(400, describe(failure));
    }
  }
  return taken;
}

RequestParser::RequestParser(const HeadLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;

std::size_t RequestParser::take(std::string_view bytes) {
  if (impl_->refusal || impl_->is_done()) return 0;
  return impl_->is_header_done() ? impl_->take_body_bytes(bytes) : impl_->take_head_bytes(bytes);
}

bool RequestParser::has_head() const { return impl_->is_header_done() && !impl_->refusal; }
bool RequestParser::is_done() const { return impl_->is_done() && !impl_->refusal; }
const std::optional<Refusal>& RequestParser::refusal() const { return impl_->refusal; }
void RequestParser::limit_body(std::int64_t max_bytes, bool keep) { impl_->limit(max_bytes, keep); }
RequestHead& RequestParser::head() { return impl_->head; }
bool RequestParser::is_http_1_1() const { return impl_->is_http_1_1; }
bool RequestParser::keeps_alive() const { return impl_->keep_alive(); }

bool RequestParser::expects_continue() const {
  return impl_->is_http_1_1 &&
         lower_case(find_header(impl_->head.headers, "expect")) == "100-continue";
}

std::optional<std::int64_t> RequestParser::content_length() const {
  if (impl_->chunked()) return std::nullopt;
  const std::uint64_t length = impl_->content_length().value_or(0);
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return static_cast<std::int64_t>(std::min(length, kMost));
}

std::string RequestParser::take_body() { return std::move(impl_->body); }

}  // namespace cardloom::http
