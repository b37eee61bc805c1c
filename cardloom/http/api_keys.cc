#include "cardloom/http/api_keys.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "cardloom/base/ascii.h"
#include "cardloom/base/file.h"

namespace cardloom::http {
namespace {

constexpr std::int64_t kMaxFileBytes = 1 << 20;
/// Long enough that nobody guesses it by chance; a typing slip of an empty variable is refused.
constexpr std::size_t kMinKeyBytes = 8;
constexpr std::size_t kMaxKeyBytes = 1024;

/// What a header can carry: visible ASCII.
bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

std::array<unsigned char, 32> digest_of(std::string_view key) {
  std::array<unsigned char, 32> digest = {};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

Error bad_key(const std::string& place, const std::string& rule,
              std::string remedy = "make a good key: openssl rand -hex 24") {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{}: {}", place, rule), {},
                    std::move(remedy));
}

bool starts_with_bearer(std::string_view value) {
  constexpr std::string_view kBearer = "bearer ";
  return value.size() > kBearer.size() && lower_case(value.substr(0, kBearer.size())) == kBearer;
}

}  // namespace

std::string_view find_key(const Headers& headers) {
  const std::string_view authorization = find_header(headers, "authorization");
  if (starts_with_bearer(authorization)) return stripped(authorization.substr(7));
  return stripped(find_header(headers, "x-api-key"));
}

Status ApiKeys::add(std::string_view lines, std::string_view separators, const std::string& origin,
                    Entries& entries) {
  int line_number = 0;
  while (!lines.empty()) {
    ++line_number;
    const std::size_t end = std::min(lines.find_first_of(separators), lines.size());
    const std::string_view line = stripped(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.empty() || line[0] == '#') continue;
    const std::string place = fmt::format("{} {}", origin, line_number);
    const std::string_view key = line.substr(0, line.find_first_of(" \t"));
    const std::string_view name = stripped(line.substr(key.size()));
    if (key.size() < kMinKeyBytes || key.size() > kMaxKeyBytes) {
      return bad_key(place, fmt::format("a key must have {} to {} characters; this one has {}",
                                        kMinKeyBytes, kMaxKeyBytes, key.size()));
    }
    if (!std::all_of(key.begin(), key.end(), is_visible)) {
      return bad_key(place, "a key must have visible ASCII characters only");
    }
    Entry entry = {.digest = digest_of(key), .name = std::string(name)};
    if (name.empty()) entry.name = fmt::format("key-{}", entries.size() + 1);
    for (const Entry& other : entries) {
      if (other.digest == entry.digest) {
        return bad_key(place, fmt::format("this key was given before, to {}", other.name),
                       "leave one of the two out");
      }
    }
    entries.push_back(std::move(entry));
  }
  return {};
}

Result<std::unique_ptr<ApiKeys>> ApiKeys::load(std::string file, std::string text) {
  std::unique_ptr<ApiKeys> keys(new ApiKeys(std::move(file), std::move(text)));
  const Status added =
      add(keys->text_, "\n,", "--api-key or CARDLOOM_API_KEYS, key", keys->of_text_);
  OPENSSL_cleanse(keys->text_.data(), keys->text_.size());
  keys->text_.clear();
  if (!added) return added.error();
  if (const Status loaded = keys->reload(); !loaded) return loaded.error();
  return keys;
}

Status ApiKeys::reload() {
  auto entries = std::make_shared<Entries>(of_text_);
  if (!file_.empty()) {
    Result<std::string> lines = read_file(file_, kMaxFileBytes);
    if (!lines) return lines.error();
    const Status added = add(*lines, "\n", file_ + ", line", *entries);
    OPENSSL_cleanse(lines->data(), lines->size());
    if (!added) return added.error();
    // An emptied file must lock everybody out or be an error, never open the door.
    if (entries->size() == of_text_.size()) {
      return make_error(ErrorCode::kInvalidArgument, fmt::format("{} has no API key", file_), {},
                        "write one key a line; make a good key: openssl rand -hex 24");
    }
  }
  const std::lock_guard lock(mutex_);
  entries_ = std::move(entries);
  return {};
}

std::shared_ptr<const ApiKeys::Entries> ApiKeys::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

std::int64_t ApiKeys::size() const { return static_cast<std::int64_t>(entries()->size()); }

std::optional<KeyOwner> ApiKeys::match(std::string_view presented) const {
  const std::shared_ptr<const Entries> all = entries();
  if (all->empty()) return std::nullopt;  // a hash costs more than the rest of a short request
  // Every entry is looked at, and whole: the time tells nothing of which key came close.
  const std::array<unsigned char, 32> digest = digest_of(presented.substr(0, kMaxKeyBytes + 1));
  std::size_t found = all->size();
  for (std::size_t i = 0; i < all->size(); ++i) {
    const bool equal = CRYPTO_memcmp(digest.data(), (*all)[i].digest.data(), digest.size()) == 0;
    found = equal ? i : found;
  }
  if (found == all->size()) return std::nullopt;
  return KeyOwner{.index = static_cast<std::int64_t>(found), .name = (*all)[found].name};
}

}  // namespace cardloom::http
