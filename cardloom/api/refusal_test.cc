// Nasty requests, each with its exact answer: JSON, numbers, and what is not of a chat.
#include "cardloom/api/ranges.h"
#include "cardloom/api/test_requests.h"

namespace cardloom::api {
namespace {

TEST(Refusals, TextThatIsNoJson) {
  const std::string deep = repeat("[", 65) + repeat("]", 65);
  expect_refusals({
      {kChat, "", 400, "", "invalid_json", "incomplete JSON, at byte 0 of 0"},
      {kChat, "{", 400, "", "invalid_json", "incomplete JSON, at byte 1 of 1"},
      {kChat, "hello", 400, "", "invalid_json", "at byte 0 of 5"},
      {kChat, "{} x", 400, "", "invalid_json", "extra data, at byte 3 of 4"},
      {kChat, "{}{}", 400, "", "invalid_json", "extra data, at byte 2 of 4"},
      {kChat, "[]", 400, "", "", "the body must be a JSON object, is a list"},
      {kChat, "null", 400, "", "", "the body must be a JSON object, is null"},
      {kChat, "\"x\"", 400, "", "", "the body must be a JSON object, is a string"},
      {kChat, deep, 400, "", "invalid_json", "it is nested deeper than 64"},
      {kChat, chat("\"x\":" + deep), 400, "", "invalid_json", "it is nested deeper than 64"},
      {kChat, chat("\"user\":\"\xff\""), 400, "", "invalid_json", "at byte "},
      {kChat, chat("\"user\":\"\xc0\xaf\""), 400, "", "invalid_json", "at byte "},
      {kChat, chat("\"user\":\"\xed\xa0\x80\""), 400, "", "invalid_json", "at byte "},
      {kChat, chat(R"("user":"\ud800")"), 400, "", "invalid_json", "at byte "},
      {kChat, chat("\"user\":\"a\nb\""), 400, "", "invalid_json", "at byte "},
      {kChat, std::string("{}\0", 3), 400, "", "invalid_json", "extra data, at byte 2 of 3"},
      {kChat, "{'messages':[]}", 400, "", "invalid_json", "at byte 1"},
      {kChat, "{\"messages\":[],}", 400, "", "invalid_json", "at byte 15"},
      {kChat, "// a\n{}", 400, "", "invalid_json", "at byte 0"},
      {kChat, chat(R"("temperature":NaN)"), 400, "", "invalid_json", "syntax error"},
      {kChat, chat(R"("temperature":Infinity)"), 400, "", "invalid_json", "syntax error"},
      {kChat, chat(R"("temperature":+1)"), 400, "", "invalid_json", "syntax error"},
      {kChat, chat(R"("temperature":01)"), 400, "", "invalid_json", "at byte"},
      {kChat, chat(R"("n":1,"n":1)"), 400, "", "invalid_json", "the key \"n\" stands twice"},
      {kChat, chat(R"("n":1,"\u006e":2)"), 400, "", "invalid_json", "the key \"n\" stands twice"},
      {kChat, chat(R"("metadata":{"a":{"b":1,"b":2}})"), 400, "", "invalid_json",
       "the key \"b\" stands twice in one object"},
      {kChat, "[" + repeat("0,", 1 << 19) + "0]", 400, "", "invalid_json",
       "it holds more than 524288 values"},
  });
}

TEST(Refusals, NumbersOfTheWrongKind) {
  expect_refusals({
      {kChat, chat(R"("temperature":"1")"), 400, "temperature", "",
       "temperature must be a number, is a string"},
      {kChat, chat(R"("temperature":true)"), 400, "temperature", "", "is a boolean"},
      {kChat, chat(R"("temperature":[1])"), 400, "temperature", "", "is a list"},
      {kChat, chat(R"("temperature":2.5)"), 400, "temperature", "",
       "temperature must be a number from 0 to 2, is 2.5; 0 always takes"},
      {kChat, chat(R"("temperature":-0.001)"), 400, "temperature", "", "is -0.001"},
      {kChat, chat(R"("temperature":1e999)"), 400, "temperature", "", "from 0 to 2, is inf"},
      {kChat, chat(R"("temperature":18446744073709551615)"), 400, "temperature", "",
       "is 18446744073709551615"},
      {kChat, chat(R"("top_p":0)"), 400, "top_p", "",
       "top_p must be a number above 0 and up to 1, is 0; "},
      {kChat, chat(R"("top_p":-0.0)"), 400, "top_p", "", "above 0 and up to 1, is -0"},
      {kChat, chat(R"("top_p":1.01)"), 400, "top_p", "", "is 1.01"},
      {kChat, chat(R"("min_p":-1)"), 400, "min_p", "", "from 0 to 1, is -1"},
      {kChat, chat(R"("top_k":-2)"), 400, "top_k", "", "from -1 to 2147483647, is -2"},
      {kChat, chat(R"("top_k":1.5)"), 400, "top_k", "", "top_k must be an integer, is 1.5"},
      {kChat, chat(R"("presence_penalty":2.1)"), 400, "presence_penalty", "", "from -2 to 2"},
      {kChat, chat(R"("frequency_penalty":-3)"), 400, "frequency_penalty", "", "from -2 to 2"},
      {kChat, chat(R"("repetition_penalty":0)"), 400, "repetition_penalty", "",
       "above 0 and up to 10, is 0"},
      {kChat, chat(R"("repeat_penalty":1.1,"repetition_penalty":1.2)"), 400, "repeat_penalty", "",
       "give one, not 1.1 and 1.2"},
      {kChat, chat(R"("seed":1.5)"), 400, "seed", "", "seed must be an integer, is 1.5"},
      {kChat, chat(R"("seed":9223372036854775808)"), 400, "seed", "", "is 9223372036854775808"},
      {kChat, chat(R"("seed":9223372036854775808.0)"), 400, "seed", "", "must be an integer from"},
      {kChat, chat(R"("seed":1e400)"), 400, "seed", "", "is inf"},
      {kChat, chat(R"("seed":"7")"), 400, "seed", "", "must be an integer, is a string"},
      {kChat, chat(R"("max_tokens":0)"), 400, "max_tokens", "", "from 1 to 2147483647, is 0"},
      {kChat, chat(R"("max_tokens":-1)"), 400, "max_tokens", "", "until the context is full"},
      {kChat, chat(R"("max_tokens":1e30)"), 400, "max_tokens", "", "is 1e+30"},
      {kChat, chat(R"("max_tokens":5,"max_completion_tokens":6)"), 400, "max_completion_tokens", "",
       "max_completion_tokens is 6, but max_tokens is 5"},
      {kChat, chat(R"("max_tokens":5,"min_tokens":6)"), 400, "min_tokens", "",
       "min_tokens is 6, but at most 5"},
      {kChat, chat(R"("n":0)"), 400, "n", "", "from 1 to 128, is 0"},
      {kChat, chat(R"("n":5)"), 400, "n", "", "n is 5, the limit of this server is 4"},
      {kChat, chat(R"("n":1000000)"), 400, "n", "", "from 1 to 128, is 1000000"},
      {kChat, chat(R"("top_logprobs":21,"logprobs":true)"), 400, "top_logprobs", "",
       "from 0 to 20"},
      {kChat, chat(R"("top_logprobs":2)"), 400, "top_logprobs", "", "needs \"logprobs\": true"},
      {kChat, chat(R"("logprobs":3)"), 400, "logprobs", "", "must be true or false, is a number"},
      {kCompletion, completion(R"("logprobs":true)"), 400, "logprobs", "", "is a boolean"},
      {kCompletion, completion(R"("logprobs":21)"), 400, "logprobs", "", "from 0 to 20, is 21"},
      {kChat, chat(R"("service_tier":"gold")"), 400, "service_tier", "unsupported_value", "flex"},
      {kChat, chat(R"("service_tier":1)"), 400, "service_tier", "", "a string"},
      {kChat, chat(R"("priority":3)"), 400, "priority", "", "0 is high, 1 normal, 2 low"},
      {kChat, chat(R"("logit_bias":{"5":101})"), 400, "logit_bias.5", "", "from -100 to 100"},
      {kChat, chat(R"("logit_bias":{"5":"1"})"), 400, "logit_bias.5", "", "is a string"},
      {kChat, chat(R"("logit_bias":{"1000":1})"), 400, "logit_bias", "",
       "token ids from 0 to 999 as keys, has \"1000\""},
      {kChat, chat(R"("logit_bias":{"-1":1})"), 400, "logit_bias", "", "has \"-1\""},
      {kChat, chat(R"("logit_bias":{"07":1})"), 400, "logit_bias", "", "has \"07\""},
      {kChat, chat(R"("logit_bias":{"":1})"), 400, "logit_bias", "", "has \"\""},
      {kChat, chat(R"("logit_bias":{"9999999999999999999999":1})"), 400, "logit_bias", "", "keys"},
      {kChat, chat(R"("logit_bias":[[5,1]])"), 400, "logit_bias", "", "an object, is a list"},
      {kChat, chat(R"("stop_token_ids":[1000])"), 400, "stop_token_ids[0]", "", "from 0 to 999"},
      {kChat, chat(R"("stop_token_ids":[1,-1])"), 400, "stop_token_ids[1]", "", "is -1"},
      {kChat, chat(R"("stop_token_ids":[1,2,3,4])"), 400, "stop_token_ids", "", "the limit is 3"},
      {kChat, chat(R"("stop_token_ids":[null])"), 400, "stop_token_ids[0]", "", "is null"},
  });
}

TEST(Refusals, TheRest) {
  expect_refusals({
      {kChat, chat(R"("model":7)"), 400, "model", "", "must be a string, is a number"},
      {kChat, chat(R"("store":true)"), 400, "store", "unsupported_parameter", "nothing is kept"},
      {kChat, chat(R"("store":"no")"), 400, "store", "", "must be true or false, is a string"},
      {kChat, chat(R"("audio":{"voice":"x"})"), 400, "audio", "unsupported_parameter",
       "answers in text"},
      {kChat, chat(R"("modalities":["text","audio"])"), 400, "modalities[1]",
       "unsupported_parameter", "must be text, is \"audio\""},
      {kChat, chat(R"("stream":"yes")"), 400, "stream", "", "true or false, is a string"},
      {kChat, chat(R"("stream_options":{"include_usage":true})"), 400, "stream_options", "",
       "needs \"stream\": true"},
      {kChat, chat(R"("stream":true,"stream_options":{"include_usage":1})"), 400,
       "stream_options.include_usage", "", "is a number"},
      {kChat, chat(R"("stop":"")"), 400, "stop", "", "must not be empty"},
      {kChat, chat(R"("stop":["a",""])"), 400, "stop[1]", "", "must not be empty"},
      {kChat, chat(R"("stop":["a",7])"), 400, "stop[1]", "", "must be a string, is a number"},
      {kChat, chat(R"("stop":{})"), 400, "stop", "", "a string or a list of strings, is an object"},
      {kChat, chat(R"("stop":["a","b","c","d"])"), 400, "stop", "", "4 entries, the limit is 3"},
      {kChat, chat(R"("stop":"123456789")"), 400, "stop", "", "has 9 bytes, the limit is 8"},
      {kChat, chat(R"("cache_salt":"")"), 400, "cache_salt", "", "1 to 256 bytes, has 0"},
      {kChat, chat(R"("mm_processor_kwargs":{})"), 400, "mm_processor_kwargs",
       "unsupported_parameter", "prepared as the model was trained"},
      {kCompletion, "{}", 400, "prompt", "", "prompt is required"},
      {kCompletion, R"({"prompt":7})", 400, "prompt", "", "a string or a list of token ids"},
      {kCompletion, R"({"prompt":[]})", 400, "prompt", "", "must hold a token id"},
      {kCompletion, R"({"prompt":[[]]})", 400, "prompt[0]", "", "must hold a token id"},
      {kCompletion, R"({"prompt":[{}]})", 400, "prompt[0]", "", "is an object"},
      {kCompletion, R"({"prompt":[1,"a"]})", 400, "prompt[1]", "", "an integer, is a string"},
      {kCompletion, R"({"prompt":["a",1]})", 400, "prompt[1]", "", "is a number"},
      {kCompletion, R"({"prompt":[[1,1000]]})", 400, "prompt[0][1]", "", "from 0 to 999, is 1000"},
      {kCompletion, R"({"prompt":[1.5]})", 400, "prompt[0]", "", "must be an integer, is 1.5"},
      {kCompletion, R"({"prompt":["a","b","c"]})", 400, "prompt", "", "3 prompts, the limit is 2"},
      {kCompletion, completion(R"("suffix":"x")"), 400, "suffix", "unsupported_parameter",
       "cannot fill in a middle"},
      {kCompletion, completion(R"("best_of":2)"), 400, "best_of", "unsupported_parameter",
       "must be n, which is 1"},
      {kCompletion, completion(R"("echo":"x")"), 400, "echo", "", "true or false, is a string"},
      {Where::kTokenize, "{}", 400, "prompt", "", "one of prompt and messages is required, none"},
      {Where::kTokenize, R"({"prompt":"a","messages":[]})", 400, "prompt", "", "both are there"},
      {Where::kTokenize, R"({"messages":[]})", 400, "messages", "", "must hold a message"},
      {Where::kTokenize, R"({"prompt":["a"]})", 400, "prompt", "", "must be a string, is a list"},
      {Where::kDetokenize, "{}", 400, "tokens", "", "is required"},
      {Where::kDetokenize, R"({"tokens":[-1]})", 400, "tokens[0]", "", "is -1"},
      {Where::kDetokenize, R"({"tokens":"1"})", 400, "tokens", "", "must be a list, is a string"},
  });
}

TEST(Refusals, StrictNamesTheNearestField) {
  expect_refusals(
      {
          {kChat, chat(R"("temprature":1)"), 400, "temprature", "unknown_parameter",
           "\"temprature\" is not a field of this request; the nearest is \"temperature\""},
          {kChat, chat(R"("max_token":1)"), 400, "max_token", "unknown_parameter",
           "the nearest is \"max_tokens\""},
          {kChat, messages(R"({"role":"user","contents":"x","content":"x"})"), 400,
           "messages[0].contents", "unknown_parameter",
           "is not a field of messages[0]; the nearest is \"content\""},
          {kChat, picture(R"("url":"data:,x","details":"auto")"), 400,
           "messages[0].content[0].image_url.details", "unknown_parameter", "\"detail\""},
          {kCompletion, completion(R"("promt":1)"), 400, "promt", "unknown_parameter",
           "\"prompt\""},
          {Where::kDetokenize, R"({"tokens":[1],"token":1})", 400, "token", "unknown_parameter",
           "\"tokens\""},
          {kChat, chat(fmt::format(R"("{}":1)", repeat("\xe4\xbd\xa0", 900))), 400,
           repeat("\xe4\xbd\xa0", 21), "unknown_parameter", "..."},
      },
      true);
}

/// Every number of the table, just outside either end, as each API would read it.
TEST(Refusals, EveryRangeIsKept) {
  const RequestLimits limits = test_limits();
  const auto refuses = [&](std::string_view name, const std::string& number) {
    for (const std::string& body : {chat(fmt::format(R"("{}":{},"logprobs":true)", name, number)),
                                    completion(fmt::format(R"("{}":{})", name, number))}) {
      for (const Where where : {kChat, kCompletion}) {
        const std::optional<ApiError> error = refused(where, body, limits);
        if (error && error->param == name) return true;
      }
    }
    // Of a picture, not of the request.
    const std::optional<ApiError> error =
        refused(kChat, picture(fmt::format(R"("url":"data:,x","{}":{})", name, number)), limits);
    if (error && error->param.ends_with(name)) return true;
    return false;
  };
  int num_checked = 0;
  for (const IntegerRange& range : integer_ranges()) {
    if (range.name == "token" || range.name == "seed" || range.name == "logprobs" ||
        range.name == "max_output_tokens" || range.name.find(':') != std::string_view::npos) {
      continue;
    }
    ++num_checked;
    EXPECT_TRUE(refuses(range.name, fmt::format("{}", range.min - 1))) << range.name;
    EXPECT_TRUE(refuses(range.name, fmt::format("{}", range.max + 1))) << range.name;
    EXPECT_TRUE(refuses(range.name, "9223372036854775808")) << range.name;
    EXPECT_TRUE(refuses(range.name, "-9223372036854775809")) << range.name;
  }
  for (const RealRange& range : real_ranges()) {
    if (range.name == "logit_bias" || range.name.find(':') != std::string_view::npos) continue;
    ++num_checked;
    EXPECT_TRUE(refuses(range.name, fmt::format("{}", range.min - 0.001))) << range.name;
    EXPECT_TRUE(refuses(range.name, fmt::format("{}", range.max + 0.001))) << range.name;
    EXPECT_TRUE(refuses(range.name, "1e308")) << range.name;
    EXPECT_TRUE(refuses(range.name, "-1e999")) << range.name;
  }
  EXPECT_GE(num_checked, 12);
}

TEST(Refusals, ANumberWithoutARowIsOurOwnFault) {
  EXPECT_THROW(static_cast<void>(integer_range("no_such_field")), Exception);
  EXPECT_THROW(static_cast<void>(real_range("no_such_field")), Exception);
}

}  // namespace
}  // namespace cardloom::api
