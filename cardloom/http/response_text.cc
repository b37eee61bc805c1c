#include "cardloom/http/response_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>

namespace cardloom::http {
namespace {

bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_framing(std::string_view name) {
  return name == "content-length" || name == "transfer-encoding" || name == "connection";
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  out += "\r\n";
}

}  // namespace

std::string_view reason_phrase(int status) {
  static constexpr std::array kPhrases = {
      std::pair{200, "OK"},
      std::pair{201, "Created"},
      std::pair{202, "Accepted"},
      std::pair{204, "No Content"},
      std::pair{301, "Moved Permanently"},
      std::pair{302, "Found"},
      std::pair{303, "See Other"},
      std::pair{304, "Not Modified"},
      std::pair{307, "Temporary Redirect"},
      std::pair{308, "Permanent Redirect"},
      std::pair{400, "Bad Request"},
      std::pair{401, "Unauthorized"},
      std::pair{403, "Forbidden"},
      std::pair{404, "Not Found"},
      std::pair{405, "Method Not Allowed"},
      std::pair{406, "Not Acceptable"},
      std::pair{408, "Request Timeout"},
      std::pair{409, "Conflict"},
      std::pair{411, "Length Required"},
      std::pair{413, "Content Too Large"},
      std::pair{414, "URI Too Long"},
      std::pair{415, "Unsupported Media Type"},
      std::pair{421, "Misdirected Request"},
      std::pair{422, "Unprocessable Content"},
      std::pair{429, "Too Many Requests"},
      std::pair{431, "Request Header Fields Too Large"},
      std::pair{500, "Internal Server Error"},
      std::pair{501, "Not Implemented"},
      std::pair{503, "Service Unavailable"},
      std::pair{504, "Gateway Timeout"},
      std::pair{529, "Overloaded"},
  };
  const auto* const it =
      std::find_if(kPhrases.begin(), kPhrases.end(),
                   [status](const auto& entry) { return entry.first == status; });
  return it == kPhrases.end() ? "Unknown" : it->second;
}

bool may_have_body(int status) { return status >= 200 && status != 204 && status != 304; }

std::string response_head(const Response& response, const ResponseFrame& frame) {
  std::string head;
  head.reserve(256);
  fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\n", response.status,
                 reason_phrase(response.status));
  for (const auto& [name, value] : response.headers) {
    if (is_token(name) && !is_framing(name)) append_header(head, name, value);
  }
  if (!frame.date.empty()) append_header(head, "date", frame.date);
  if (may_have_body(response.status)) {
    if (frame.framing == BodyFraming::kLength) {
      fmt::format_to(std::back_inserter(head), "content-length: {}\r\n", response.body.size());
    } else if (frame.framing == BodyFraming::kChunked) {
      head += "transfer-encoding: chunked\r\n";
    }
  }
  head += frame.keep_alive ? "connection: keep-alive\r\n\r\n" : "connection: close\r\n\r\n";
  return head;
}

void append_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", bytes.size());
  out.append(bytes).append("\r\n");
}

std::string http_date(std::int64_t unix_seconds) {
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = unix_seconds;
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  // Not strftime: its names follow the locale.
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                     kMonths[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace cardloom::http
