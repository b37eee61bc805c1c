#pragma once

#include <string_view>

#include "cardloom/base/json.h"
#include "fuzz/require.h"

/// Aborts unless `text` is one JSON value.
inline void require_json(std::string_view text) {
  require(cardloom::parse_json(text, "the text").has_value());
}

/// Calls `check` with each event of a stream, without the empty line that ends it; comments are
/// left out. Aborts unless the last one ends, too.
template <class Check>
void for_each_event(std::string_view bytes, Check check) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find("\n\n");
    require(end != std::string_view::npos);
    if (!bytes.starts_with(":")) check(bytes.substr(0, end));
    bytes.remove_prefix(end + 2);
  }
}
