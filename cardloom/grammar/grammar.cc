#include "cardloom/grammar/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json/serialize.hpp>

#include "cardloom/base/utf8.h"
#include "cardloom/grammar/automaton.h"
#include "cardloom/grammar/determinize.h"
#include "cardloom/grammar/lru_cache.h"
#include "cardloom/grammar/regex.h"
#include "cardloom/grammar/schema_compiler.h"
#include "cardloom/grammar/token_trie.h"

namespace cardloom {

using grammar::ByteNfa;
using grammar::CompileBudget;
using grammar::Frames;
using grammar::Place;

class GrammarCompiler::Impl {
 public:
  class Constraint;

  Impl(const Tokenizer& tokenizer, std::int32_t vocab_size, std::vector<std::int32_t> stop_ids,
       const GrammarLimits& limits)
      : vocab_size_(vocab_size),
        stop_ids_(std::move(stop_ids)),
        limits_(limits),
        trie_(tokenizer, vocab_size, stop_ids_),
        grammars_(limits.cache_bytes / 4),
        masks_(limits.cache_bytes - limits.cache_bytes / 4),
        tokenizer_(&tokenizer) {}

  /// The grammar whose rules `build` adds; from the cache if `key` was compiled before.
  template <class Build>
  Result<std::shared_ptr<const Grammar>> compile(const std::string& key, std::string_view what,
                                                 Build build) {
    auto [found, known] = grammars_.find(key);
    if (found) return known;
    try {
      CompileBudget budget(limits_);
      ByteNfa nfa(budget, trie_.single_bytes());
      build(nfa);
      auto made = std::make_shared<Grammar>(determinize(nfa, what));
      made->set_id(++num_compiled_);
      const std::int64_t bytes = made->num_bytes();
      if (*live_ + bytes > limits_.live_bytes) grammars_.clear();
      if (const std::int64_t before = live_->fetch_add(bytes);
          before + bytes > limits_.live_bytes) {
        *live_ -= bytes;
        return no_room(bytes, before);
      }
      // The count must live as long as whoever holds the last one.
      std::shared_ptr<const Grammar> counted(
          made.get(), [made, bytes, live = live_](const Grammar*) { *live -= bytes; });
      grammars_.insert(key, counted, bytes);
      return counted;
    } catch (const Exception& failure) {
      return failure.error();
    }
  }

  /// What may follow at `place`. The same for all places that no token can tell apart: a mask is
  /// known by the state and by as many frames as were looked at when it was made.
  std::shared_ptr<const TokenMask> mask(const Grammar& grammar, const Place& place,
                                        Frames& frames) {
    std::string key;
    const auto append = [&key](std::int64_t number) {
      key.append(reinterpret_cast<const char*>(&number), sizeof(number));
    };
    append(grammar.id());
    append(place.state);
    append(grammar.count_class(place, trie_.max_token_bytes()));
    append(grammar.depth_class(place, trie_.max_opens()));
    for (std::int32_t top = place.top;; top = frames.nodes[static_cast<std::size_t>(top)].below) {
      const auto [found, known] = masks_.find(key);
      if (found && known) return known;
      if (!found) break;
      append(frames.nodes[static_cast<std::size_t>(top)].state);
    }
    return make_mask(grammar, place, frames, key);
  }

  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  [[nodiscard]] const std::vector<std::int32_t>& stop_ids() const { return stop_ids_; }
  [[nodiscard]] std::int32_t vocab_size() const { return vocab_size_; }
  [[nodiscard]] const GrammarLimits& limits() const { return limits_; }

 private:
  [[nodiscard]] Error no_room(std::int64_t bytes, std::int64_t in_use) const {
    return make_error(
        ErrorCode::kUnavailable,
        fmt::format("grammars of {} bytes are in use, of {} that may be; this one has "
                    "{}",
                    in_use, limits_.live_bytes, bytes),
        {}, "try again in a moment, or ask for a simpler form");
  }

  static constexpr std::size_t kKeyBytes = 4 * sizeof(std::int64_t);  ///< without frames

  std::shared_ptr<const TokenMask> make_mask(const Grammar& grammar, const Place& place,
                                             Frames& frames, std::string key) {
    auto made = std::make_shared<TokenMask>(vocab_size_);
    frames.num_touched = 0;
    trie_.allow(grammar, place, frames, *made);
    if (grammar.may_end(place, frames)) {
      for (const std::int32_t id : stop_ids_) {
        if (id >= 0 && id < vocab_size_) made->insert(id);
      }
    }
    // Shorter keys say that they do not suffice.
    key.resize(kKeyBytes);
    std::int32_t top = place.top;
    for (std::int32_t i = 0; i < frames.num_touched; ++i) {
      masks_.insert(key, nullptr, 0);
      const Frames::Frame& frame = frames.nodes[static_cast<std::size_t>(top)];
      const std::int64_t state = frame.state;
      key.append(reinterpret_cast<const char*>(&state), sizeof(state));
      top = frame.below;
    }
    masks_.insert(key, made, static_cast<std::int64_t>(made->words().size() * 8 + 128));
    return made;
  }

  std::int32_t vocab_size_;
  std::vector<std::int32_t> stop_ids_;
  GrammarLimits limits_;
  grammar::TokenTrie trie_;
  grammar::LruCache<Grammar> grammars_;
  grammar::LruCache<TokenMask> masks_;
  const Tokenizer* tokenizer_;
  std::atomic<std::int64_t> num_compiled_ = 0;
  std::shared_ptr<std::atomic<std::int64_t>> live_ =
      std::make_shared<std::atomic<std::int64_t>>(0);  ///< bytes of all grammars there are
};

class GrammarCompiler::Impl::Constraint final : public TokenConstraint {
 public:
  Constraint(Impl& compiler, std::shared_ptr<const Grammar> grammar)
      : compiler_(&compiler), grammar_(std::move(grammar)), place_(grammar_->start()) {}

  const TokenMask& allowed() override {
    if (!mask_) mask_ = ended_ ? stops() : compiler_->mask(*grammar_, place_, frames_);
    return *mask_;
  }

  void accept(std::int32_t id) override {
    if (ended_ || is_stop(id)) {
      if (!is_stop(id) || (!ended_ && !grammar_->may_end(place_, frames_))) refuse(id);
      ended_ = true;
      mask_ = nullptr;
      return;
    }
    Place place = place_;
    const std::string_view bytes = compiler_->tokenizer().token_bytes(id);
    if (bytes.empty() || id >= compiler_->vocab_size()) refuse(id);
    const std::size_t num_frames = frames_.nodes.size();
    for (const char byte : bytes) {
      if (grammar_->step(place, frames_, static_cast<std::uint8_t>(byte))) continue;
      frames_.nodes.resize(num_frames);
      refuse(id);
    }
    grammar_->settle(place, frames_);
    keep(place);
    mask_ = nullptr;
  }

 private:
  [[nodiscard]] bool is_stop(std::int32_t id) const {
    const std::vector<std::int32_t>& stops = compiler_->stop_ids();
    return std::find(stops.begin(), stops.end(), id) != stops.end();
  }

  [[noreturn]] static void refuse(std::int32_t id) {
    throw_error(ErrorCode::kInternal,
                fmt::format("token {} was accepted, but the grammar does not allow it here", id));
  }

  [[nodiscard]] std::shared_ptr<const TokenMask> stops() const {
    auto mask = std::make_shared<TokenMask>(compiler_->vocab_size());
    for (const std::int32_t id : compiler_->stop_ids()) {
      if (id >= 0 && id < mask->size()) mask->insert(id);
    }
    return mask;
  }

  /// Makes `place` the sequence's, and its frames the only ones.
  void keep(Place place) {
    std::vector<Frames::Frame> kept;
    for (std::int32_t top = place.top; top >= 0;) {
      kept.push_back(frames_.nodes[static_cast<std::size_t>(top)]);
      top = kept.back().below;
    }
    std::reverse(kept.begin(), kept.end());
    for (std::size_t i = 0; i < kept.size(); ++i) kept[i].below = static_cast<std::int32_t>(i) - 1;
    place.top = static_cast<std::int32_t>(kept.size()) - 1;
    frames_.num_base = static_cast<std::int32_t>(kept.size());
    frames_.nodes = std::move(kept);
    place_ = place;
  }

  Impl* compiler_;
  std::shared_ptr<const Grammar> grammar_;
  Place place_;
  Frames frames_;
  std::shared_ptr<const TokenMask> mask_;
  bool ended_ = false;
};

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, std::int32_t vocab_size,
                                 std::vector<std::int32_t> stop_ids, const GrammarLimits& limits)
    : impl_(std::make_unique<Impl>(tokenizer, vocab_size, std::move(stop_ids), limits)) {}

GrammarCompiler::~GrammarCompiler() = default;

Result<std::shared_ptr<const Grammar>> GrammarCompiler::json_object() {
  const json::value any = {{"type", "object"}};
  return json_schema(any);
}

Result<std::shared_ptr<const Grammar>> GrammarCompiler::json_schema(const json::value& schema) {
  const std::string text = json::serialize(schema);
  if (!is_valid_utf8(text)) {
    return make_error(ErrorCode::kInvalidArgument, "json_schema is not valid UTF-8");
  }
  return impl_->compile("schema:" + text, "json_schema", [&](ByteNfa& nfa) {
    CompileBudget::require("max_schema_bytes", static_cast<std::int64_t>(text.size()),
                           impl_->limits().max_schema_bytes);
    grammar::SchemaCompiler(schema, nfa).compile();
  });
}

Result<std::shared_ptr<const Grammar>> GrammarCompiler::regex(std::string_view pattern) {
  return impl_->compile("regex:" + std::string(pattern), "regex", [&](ByteNfa& nfa) {
    const grammar::CharNfa chars =
        parse_regex(pattern, grammar::RegexMatch::kWhole, "regex", nfa.budget());
    const std::int32_t rule = nfa.add_rule(std::string(pattern));
    const std::int32_t end = nfa.add_state(rule);
    nfa.set_accepting(end);
    add_chars(nfa, rule, nfa.start(rule), chars, {}, grammar::Spelling::kPlain, end);
  });
}

Result<std::shared_ptr<const Grammar>> GrammarCompiler::choice(
    const std::vector<std::string>& choices) {
  if (choices.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      "choice must hold at least one text; it is empty");
  }
  std::string key = "choice:";
  for (const std::string& text : choices) {
    if (!is_valid_utf8(text)) {
      return make_error(ErrorCode::kInvalidArgument, "choice holds a text that is not valid UTF-8");
    }
    key += fmt::format("{}:", text.size()) + text;
  }
  return impl_->compile(key, "choice", [&](ByteNfa& nfa) {
    CompileBudget::require("max_schema_bytes", static_cast<std::int64_t>(key.size()),
                           impl_->limits().max_schema_bytes);
    const std::int32_t rule = nfa.add_rule("choice");
    const std::int32_t end = nfa.add_state(rule);
    nfa.set_accepting(end);
    for (const std::string& text : choices) nfa.add_text(nfa.start(rule), text, end);
  });
}

namespace {

/// `name`, a newline and arguments lead from `from` to `to`.
void add_tool(ByteNfa& nfa, std::int32_t from, const GrammarCompiler::Tool& tool, std::int32_t to) {
  const std::int32_t arguments = nfa.add_state(nfa.state(from).rule);
  nfa.add_text(from, tool.name + "\n", arguments);
  try {
    grammar::SchemaCompiler(tool.parameters, nfa).add_value(arguments, to);
  } catch (const Exception& failure) {
    Error error = failure.error();
    error.message = fmt::format("tool {}: {}", tool.name, error.message);
    throw Exception(std::move(error));
  }
}

}  // namespace

Result<std::shared_ptr<const Grammar>> GrammarCompiler::tool_call(const std::vector<Tool>& tools) {
  if (tools.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "a call needs a tool; there is none");
  }
  std::string key = "tools:";
  for (const Tool& tool : tools) {
    const std::string schema = json::serialize(tool.parameters);
    if (!is_valid_utf8(tool.name) || !is_valid_utf8(schema)) {
      return make_error(ErrorCode::kInvalidArgument,
                        "a tool has a name or parameters that are not valid UTF-8");
    }
    key += fmt::format("{}:{}{}:{}", tool.name.size(), tool.name, schema.size(), schema);
  }
  return impl_->compile(key, "tools", [&](ByteNfa& nfa) {
    CompileBudget::require("max_schema_bytes", static_cast<std::int64_t>(key.size()),
                           impl_->limits().max_schema_bytes);
    const std::int32_t rule = nfa.add_rule("");
    const std::int32_t end = nfa.add_state(rule);
    nfa.set_accepting(end);
    for (const Tool& tool : tools) add_tool(nfa, nfa.start(rule), tool, end);
  });
}

std::unique_ptr<TokenConstraint> GrammarCompiler::begin(std::shared_ptr<const Grammar> grammar) {
  return std::make_unique<Impl::Constraint>(*impl_, std::move(grammar));
}

}  // namespace cardloom
