#pragma once

#include "cardloom/api/field_reader.h"
#include "cardloom/api/generation_request.h"

namespace cardloom::api {

/// Reads {name, description, schema, strict} into `format`: without a schema any JSON object.
/// `name` is required. Throws Refusal.
void read_json_schema_format(ObjectReader& reader, const RequestLimits& limits,
                             OutputFormat& format);

/// An answer of a format cannot be a call, too. Throws Refusal if one is asked to be both.
void require_no_forced_call(const GenerationRequest& request);

/// Reads OpenAI's `response_format` (text, json_object, json_schema) and vLLM's
/// `structured_outputs` (one of json, choice, regex, json_object), at most one of the two; other
/// servers' words for the same are refused rather than ignored. A format and a tool that must be
/// called exclude each other: after read_tools. Throws Refusal.
void read_output_format(ObjectReader& reader, const RequestLimits& limits,
                        GenerationRequest& request);

}  // namespace cardloom::api
