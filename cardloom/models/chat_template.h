#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cardloom/models/chat.h"
#include "cardloom/tokenizer/tokenizer.h"

namespace cardloom {

/// Where a picture stands in a prompt.
struct ImagePlace {
  std::int64_t begin_of_image_index = 0;  ///< of <|begin_of_image|>; the placeholder id follows,
                                          ///< then <|end_of_image|>
  std::string reference;                  ///< as in ChatMessage::images
};

/// A conversation as token ids that end where the assistant is to speak.
struct TokenizedChat {
  std::vector<std::int32_t> ids;
  std::vector<ImagePlace> images;  ///< in the order of their places
};

/// The prompt that the checkpoint's own code makes of `messages`.
///
/// kGlm4v: [gMASK] <sop>, then for each message {a system turn if it offers tools}, role,
/// encode(metadata "\n"), three ids for each picture, encode(content); at last <|assistant|>. A
/// message without content and picture is left out. Special tokens' spellings are ordinary text.
/// With several pictures in a message or conversation, which the reference refuses, the same holds
/// for each.
/// kGlm4: encode_with_special(render_glm4_chat(messages)).
///
/// Returns kInvalidArgument, naming the message, if a role is unknown, tools are malformed (see
/// render_tools), there is a picture for kGlm4, or the tokenizer lacks a special token.
/// Source: glm-4v-9b, tokenization_chatglm.py, `apply_chat_template`.
Result<TokenizedChat> tokenize_chat(const Tokenizer& tokenizer, ChatStyle style,
                                    std::span<const ChatMessage> messages);

/// What glm-4-9b-chat's Jinja template renders, with add_generation_prompt, in the environment that
/// transformers gives it (trim_blocks; tojson = json.dumps with ensure_ascii=False).
/// Returns as tokenize_chat does.
Result<std::string> render_glm4_chat(std::span<const ChatMessage> messages);

}  // namespace cardloom
