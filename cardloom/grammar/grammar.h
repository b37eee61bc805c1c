#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"
#include "cardloom/sampling/token_constraint.h"
#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom {

/// What compiling and masking may cost; beyond: kResourceExhausted, with both values.
struct GrammarLimits {
  std::int64_t max_schema_bytes = 64 << 10;
  std::int64_t max_states = 4096;
  std::int64_t max_depth = 64;          ///< of nested values, while compiling and while matching
  std::int64_t max_whitespace = 16;     ///< bytes in a row between JSON tokens
  std::int64_t cache_bytes = 64 << 20;  ///< of grammars and masks that are kept for later
  /// Of all grammars, kept or in use; beyond: kUnavailable, until requests that use some have
  /// ended.
  std::int64_t live_bytes = 64 << 20;
  std::int64_t max_string_chars = 1 << 20;  ///< of a string whose length the schema leaves open
  std::int64_t max_steps = 2 << 20;         ///< of compiling: what stops hostile input in time
};

/// A compiled grammar over bytes; constant, shared by all its sequences.
class Grammar;

/// Compiles what people ask of an answer's form, and makes the masks that hold a model to it.
/// Grammars and masks are cached by their text, least recently used first out. Any thread.
class GrammarCompiler {
 public:
  /// `tokenizer` must outlive the compiler. `stop_ids` end a text: they are allowed exactly where
  /// it may end.
  GrammarCompiler(const Tokenizer& tokenizer, std::int32_t vocab_size,
                  std::vector<std::int32_t> stop_ids, const GrammarLimits& limits = {});
  ~GrammarCompiler();

  /// All four: kUnavailable if grammars in use leave no room for another.
  ///
  /// Any JSON object.
  Result<std::shared_ptr<const Grammar>> json_object();
  /// Instances of a JSON Schema (draft 2020-12, the part listed in docs/guided.md). Fails closed:
  /// kUnimplemented with the JSON pointer of the first keyword that cannot be honoured, and
  /// kInvalidArgument likewise for a schema that is no schema or has no instance.
  Result<std::shared_ptr<const Grammar>> json_schema(const json::value& schema);
  /// Texts that match as a whole. kInvalidArgument with the byte of the first error;
  /// kUnimplemented for look-around, back-references and the like.
  Result<std::shared_ptr<const Grammar>> regex(std::string_view pattern);
  /// One of these texts.
  Result<std::shared_ptr<const Grammar>> choice(const std::vector<std::string>& choices);

  /// A call of one of `tools` as GLM-4 writes it: the name, a newline, the arguments by the tool's
  /// schema. Errors as json_schema returns them, with the tool's name in front.
  struct Tool {
    std::string name;
    json::value parameters{};
  };
  Result<std::shared_ptr<const Grammar>> tool_call(const std::vector<Tool>& tools);

  /// The place of a new sequence in `grammar`.
  [[nodiscard]] std::unique_ptr<TokenConstraint> begin(std::shared_ptr<const Grammar> grammar);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cardloom
