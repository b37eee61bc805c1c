#include "cardloom/api/request_json.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>
#include <set>
#include <string>
#include <vector>

#include "cardloom/api/field_reader.h"

namespace cardloom::api {
namespace {

using ErrorOf = boost::system::error_code;

/// What basic_parser calls: builds the value and sees every key, also those that stand twice.
/// The names of its members are Boost's.
class Handler {
 public:
  static constexpr std::size_t max_array_size = std::size_t(1) << 31;   // NOLINT: count() judges
  static constexpr std::size_t max_object_size = kMaxJsonKeys;          // NOLINT: Boost's name
  static constexpr std::size_t max_string_size = std::size_t(1) << 31;  // NOLINT: Boost's name
  static constexpr std::size_t max_key_size = kMaxJsonKeyBytes;         // NOLINT: Boost's name

  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] json::value release() { return values_.release(); }

  bool on_document_begin(ErrorOf&) {
    values_.reset();
    return true;
  }
  bool on_document_end(ErrorOf&) { return true; }
  bool on_array_begin(ErrorOf&) { return true; }
  bool on_array_end(std::size_t n, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_array(n);
    return true;
  }
  bool on_object_begin(ErrorOf&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t n, ErrorOf& failure) {
    keys_.pop_back();
    if (!count(failure)) return false;
    values_.push_object(n);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, ErrorOf&) {
    values_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view rest, std::size_t, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_string(rest);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, ErrorOf&) {
    key_.append(part.data(), part.size());
    values_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view rest, std::size_t, ErrorOf& failure) {
    key_.append(rest.data(), rest.size());
    const auto [place, is_new] = keys_.back().insert(std::move(key_));
    if (!is_new) {
      return fail(fmt::format("the key {} stands twice in one object", quoted(*place)), failure);
    }
    key_.clear();
    values_.push_key(rest);
    return true;
  }
  bool on_number_part(json::string_view, ErrorOf&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_uint64(number);
    return true;
  }
  bool on_double(double number, json::string_view, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_double(number);
    return true;
  }
  bool on_bool(bool truth, ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_bool(truth);
    return true;
  }
  bool on_null(ErrorOf& failure) {
    if (!count(failure)) return false;
    values_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, ErrorOf&) { return true; }
  bool on_comment(json::string_view, ErrorOf&) { return true; }

 private:
  bool count(ErrorOf& failure) {
    if (++num_values_ <= kMaxJsonValues) return true;
    return fail(fmt::format("it holds more than {} values", kMaxJsonValues), failure);
  }

  /// Boost wants some code of its own; `fault_` is what the client reads.
  bool fail(std::string fault, ErrorOf& failure) {
    fault_ = std::move(fault);
    failure = json::make_error_code(json::error::syntax);
    return false;
  }

  json::value_stack values_;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open
  std::string key_;
  std::size_t num_values_ = 0;
  std::string fault_;
};

std::string fault_of(const boost::system::error_code& failure, const Handler& handler) {
  if (!handler.fault().empty()) return handler.fault();
  if (failure == json::error::too_deep) {
    return fmt::format("it is nested deeper than {}", kMaxJsonDepth);
  }
  return failure.message();
}

}  // namespace

json::value parse_request_json(std::string_view text, std::string_view param) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::basic_parser<Handler> parser(options);
  boost::system::error_code failure;
  const std::size_t consumed = parser.write_some(false, text.data(), text.size(), failure);
  if (!failure && consumed < text.size()) failure = json::error::extra_data;
  if (failure) {
    refuse(std::string(param),
           fmt::format("{} must be JSON, but is not: {}, at byte {} of {}",
                       param.empty() ? "the body" : param, fault_of(failure, parser.handler()),
                       consumed, text.size()),
           "invalid_json");
  }
  return parser.handler().release();
}

}  // namespace cardloom::api
