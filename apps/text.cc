#include "apps/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdio>
#include <utility>

#include "apps/failure.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

/// Columns on a terminal: bytes that begin a character. Good enough for our own tables.
std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string binary_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return fmt::format("{:.{}f} {}", bytes, bytes < 100 ? 1 : 0, kUnits[unit]);
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

double milliseconds(std::chrono::nanoseconds duration) {
  return std::round(static_cast<double>(duration.count()) * 1e-3) / 1e3;
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const double ms = milliseconds(duration);
  return ms < 1000 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.2f} s", ms * 1e-3);
}

Result<std::vector<std::int32_t>> parse_ids(std::string_view text) {
  constexpr std::string_view kBetween = " ,\t\r\n";
  std::vector<std::int32_t> ids;
  for (std::size_t at = text.find_first_not_of(kBetween); at != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const std::optional<std::int32_t> id = parse_number<std::int32_t>(word);
    if (!id) {
      return make_error(
          ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a token id", word.substr(0, 40)),
          fmt::format("entry {} of the ids; an id is a whole number of 32 bits", ids.size()),
          "write the ids as numbers: --ids \"1 2 3\"");
    }
    ids.push_back(*id);
    at = text.find_first_not_of(kBetween, end);
  }
  if (ids.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "there are no token ids", "--ids is empty",
                      "write the ids as numbers: --ids \"1 2 3\"");
  }
  return ids;
}

json::array ids_json(const std::vector<std::int32_t>& ids) {
  json::array array;
  array.reserve(ids.size());
  for (const std::int32_t id : ids) array.emplace_back(id);
  return array;
}

std::string to_json_text(const json::value& value) {
  std::string text;
  if (const json::array* array = value.if_array()) {
    for (const json::value& entry : *array) text += (text.empty() ? "" : ",") + to_json_text(entry);
    return "[" + text + "]";
  }
  if (const json::object* object = value.if_object()) {
    for (const auto& [key, entry] : *object) {
      text += text.empty() ? "" : ",";
      text += json::serialize(json::string(key)) + ":" + to_json_text(entry);
    }
    return "{" + text + "}";
  }
  if (const double* number = value.if_double(); number != nullptr && std::isfinite(*number)) {
    return fmt::format("{}", *number);
  }
  return json::serialize(value);
}

void print_json(const json::value& value) {
  const std::string text = to_json_text(value) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

std::string read_stdin(std::int64_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (static_cast<std::int64_t>(text.size()) > max_bytes) {
      fail_usage("the text on stdin is too long",
                 fmt::format("more than {}", binary_bytes(max_bytes)), "send less");
    }
  }
  return text;
}

std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t num_left) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - display_width(row[column]), ' ');
      line += "  " + (column < num_left ? row[column] + padding : padding + row[column]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string nearest(const std::string& typed, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, typed.size() / 3) + 1;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(typed, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

std::optional<std::int64_t> parse_scaled(std::string_view text) {
  static constexpr std::pair<char, std::int64_t> kUnits[] = {{'k', 1000},          {'m', 1'000'000},
                                                             {'g', 1'000'000'000}, {'K', 1 << 10},
                                                             {'M', 1 << 20},       {'G', 1 << 30}};
  std::int64_t unit = 1;
  for (const auto& [letter, size] : kUnits) {
    if (!text.empty() && text.back() == letter) unit = size;
  }
  if (unit > 1) text.remove_suffix(1);
  const std::optional<std::int64_t> number = parse_number<std::int64_t>(text);
  std::int64_t scaled = 0;
  if (!number || __builtin_mul_overflow(*number, unit, &scaled)) return std::nullopt;
  return scaled;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    if (&word != &words.front()) text += between;
    text += word;
  }
  return text;
}

}  // namespace cardloom::app
