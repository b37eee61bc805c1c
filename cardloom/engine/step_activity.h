#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/engine/engine_loop.h"
#include "cardloom/oplog/op_log.h"

namespace cardloom {

/// So many spans of one card at the most tell one step: more than a screen has columns.
inline constexpr std::size_t kMaxSpansOfCard = 400;

/// The operators that each card has run since `after` [rank], the number of its last record then.
/// Neighbours of one layer become one span, named after its longest operator, if there are too
/// many. Times are ns of the steady clock less `origin`.
///
/// The wait of an exchange is what a card was there before the last one came: all leave it
/// together, so that is the time it stood still. Read logs while no step runs.
[[nodiscard]] std::vector<CardSpan> card_spans(const std::vector<const OpLog*>& logs,
                                               const std::vector<std::uint64_t>& after,
                                               std::int64_t origin);

/// Makes at most `most` spans of one card's, which are in order of time: neighbours that share a
/// layer's whole name, or more and more of its last parts dropped.
[[nodiscard]] std::vector<CardSpan> merge_spans(std::vector<CardSpan> spans, std::size_t most);

}  // namespace cardloom
