#pragma once

#include <cstdint>

#include "bench/serving/probe.h"

namespace cardloom::bench {

/// Each sends a load to a server and prints lines `| what | figure |` of a Markdown table, with the
/// part of the machine that other programs took meanwhile. Returns whether nothing was lost.

/// `count` streams at once, each of `tokens` tokens. Measured while all of them run: between the
/// last one's first token and the first one's end.
bool run_streams(const Target& target, std::int64_t count, std::int64_t tokens);

/// Replies a second with `running` requests under way; then ten times as many arrivals a second,
/// at random. Each for `seconds`, answers of `tokens` tokens; first with connections that are kept,
/// then with one for each request.
bool run_overload(const Target& target, std::int64_t running, std::int64_t tokens, double seconds);

/// `count` short requests one after the other on `concurrency` connections: memory after the first
/// tenth and after all.
bool run_short_requests(const Target& target, std::int64_t count, std::int64_t concurrency);

/// `count` streams that hang up at a random moment; then what the server still holds.
bool run_cancels(const Target& target, std::int64_t count);

/// `count` connections that send a byte of their head now and then; /health beside them.
bool run_half_open(const Target& target, std::int64_t count, double seconds);

}  // namespace cardloom::bench
