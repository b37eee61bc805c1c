#include "cardloom/engine/step_activity.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace cardloom {
namespace {

bool is_exchange(OpId op) {
  return op == OpId::kMatmulAllReduce || op == OpId::kAllGather || op == OpId::kEmbeddingLookup;
}

/// The first `depth` parts of "text.layers.17.mlp".
std::string_view first_parts(std::string_view layer, std::size_t depth) {
  std::size_t end = 0;
  for (std::size_t part = 0; part < depth && end < layer.size(); ++part) {
    const std::size_t dot = layer.find('.', end + (part > 0 ? 1 : 0));
    end = dot == std::string_view::npos ? layer.size() : dot;
  }
  return layer.substr(0, end);
}

std::size_t num_parts(std::string_view layer) {
  return 1 + static_cast<std::size_t>(std::count(layer.begin(), layer.end(), '.'));
}

std::vector<CardSpan> merged_to_depth(const std::vector<CardSpan>& spans, std::size_t depth) {
  std::vector<CardSpan> merged;
  std::int64_t longest = 0;
  for (const CardSpan& span : spans) {
    const std::string_view layer = first_parts(span.layer, depth);
    if (merged.empty() || merged.back().layer != layer) {
      merged.push_back(span);
      merged.back().layer = layer;
      longest = span.end - span.begin;
      continue;
    }
    CardSpan& into = merged.back();
    into.end = std::max(into.end, span.end);
    into.wait += span.wait;
    if (span.end - span.begin > longest) {
      longest = span.end - span.begin;
      into.op = span.op;
    }
  }
  return merged;
}

/// [launch] when the last card began it; cards launch the same operators in the same order.
std::vector<std::int64_t> last_begins(const std::vector<std::vector<OpRecord>>& records) {
  std::vector<std::int64_t> begins;
  for (const std::vector<OpRecord>& of_rank : records) {
    if (begins.size() < of_rank.size()) begins.resize(of_rank.size());
    for (std::size_t launch = 0; launch < of_rank.size(); ++launch) {
      begins[launch] = std::max(begins[launch], of_rank[launch].started_ns);
    }
  }
  return begins;
}

}  // namespace

std::vector<CardSpan> merge_spans(std::vector<CardSpan> spans, std::size_t most) {
  std::size_t depth = 1;
  for (const CardSpan& span : spans) depth = std::max(depth, num_parts(span.layer));
  for (; spans.size() > most; --depth) {
    spans = merged_to_depth(spans, depth);
    if (depth > 0) continue;
    break;  // all have become one
  }
  return spans;
}

std::vector<CardSpan> card_spans(const std::vector<const OpLog*>& logs,
                                 const std::vector<std::uint64_t>& after, std::int64_t origin) {
  std::vector<std::vector<OpRecord>> records;
  for (std::size_t rank = 0; rank < logs.size(); ++rank) {
    records.push_back(logs[rank]->snapshot(after[rank]));
  }
  const std::vector<std::int64_t> begins = last_begins(records);
  std::vector<CardSpan> all;
  for (std::size_t rank = 0; rank < logs.size(); ++rank) {
    std::vector<CardSpan> spans;
    for (std::size_t launch = 0; launch < records[rank].size(); ++launch) {
      const OpRecord& record = records[rank][launch];
      if (OpLog::state(record) != OpState::kDone) continue;
      const std::int64_t duration = record.finished_ns - record.started_ns;
      const std::int64_t wait = is_exchange(record.op) ? begins[launch] - record.started_ns : 0;
      spans.push_back(
          {.rank = static_cast<int>(rank),
           .op = std::string(to_string(record.op)),
           .layer = std::string(logs[rank]->scope(record)),
           .begin = record.started_ns - origin,
           .end = record.finished_ns - origin,
           .wait = std::clamp<std::int64_t>(wait, 0, std::max<std::int64_t>(0, duration))});
    }
    spans = merge_spans(std::move(spans), kMaxSpansOfCard);
    std::move(spans.begin(), spans.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace cardloom
