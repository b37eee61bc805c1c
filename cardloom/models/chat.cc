#include "cardloom/models/chat.h"

namespace cardloom {

bool is_chat_role(std::string_view role) {
  return role == "system" || role == "user" || role == "assistant" || role == "observation";
}

}  // namespace cardloom
