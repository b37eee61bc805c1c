#pragma once

#include "cardloom/ops/kv_append.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/rotary_embedding.h"

/// Indices that are data: known only when a kernel runs. Kernels of every device that reads host
/// memory call these first, so that a wrong index changes nothing and says the same everywhere.
namespace cardloom {

/// Throws kInvalidArgument naming the first position outside the table of angles.
void check_positions(const RotaryEmbeddingArgs& args);

/// Throws kInvalidArgument naming the first slot outside the cache, or one that is there twice.
void check_slots(const KvAppendArgs& args);

/// Throws kInvalidArgument naming the first sequence, context length or cache block that does not
/// exist. Entries of a block table beyond a sequence's longest context are not looked at.
void check_block_tables(const PagedAttentionArgs& args);

}  // namespace cardloom
