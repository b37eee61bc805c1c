#pragma once

#include "cardloom/api/field_reader.h"
#include "cardloom/api/generation_request.h"

namespace cardloom::api {

/// Fields of both OpenAI generation endpoints that say nothing of the answer's text: model, and
/// what is accepted without effect, told in x-ignored-fields, or refused (store: true, audio).
/// Throws Refusal.
void read_openai_account_fields(ObjectReader& reader, GenerationRequest& request);

/// add_generation_prompt, continue_final_message and chat_template_kwargs (which may hold these and
/// nothing else of consequence). After the messages. Throws Refusal.
void read_turn(ObjectReader& reader, GenerationRequest& request);

}  // namespace cardloom::api
