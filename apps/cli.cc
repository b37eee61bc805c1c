// The option table: every command, flag, default and help text; `serve` and `config` have their own
// files.
#include "apps/cli_table.h"

namespace cardloom::app {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 model missing or bad, 4 does not fit "
    "in\n"
    "memory, 5 device, 6 port taken or not allowed, 8 check found a difference, 130 stopped by\n"
    "Ctrl-C.";

constexpr const char* kMainFooter =
    "Examples:\n"
    "  cardloom run glm-4v-9b \"What is in this picture?\" -i cat.jpg --tp 2\n"
    "  cardloom inspect glm-4v-9b --tp 4\n"
    "  cardloom run --help\n"
    "MODEL is a Hugging Face checkpoint: a folder with config.json, tokenizer.model and\n"
    "*.safetensors. Every option has its environment variable, CARDLOOM_ISA for --isa, and its "
    "place\n"
    "in a settings file: cardloom config --help. CARDLOOM_LAUNCH_BLOCKING=1 waits after every\n"
    "operator, =2 also looks for NaN and Inf.\n";

void add_cards(CLI::App& command, CommonOptions& options) {
  const char* group = "Cards and numbers";
  command.add_option("--tp", options.tp, "cards to cut the model over, 1 to 8; same bits for any")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--threads", options.threads, "threads of a card; 0: share the cores")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--dtype", options.dtype, "type to compute in: bf16 or f32")
      ->check(choices("bf16 f32"))
      ->capture_default_str()
      ->type_name("T")
      ->group(group);
  command
      .add_option(
          "--weights", options.weights,
          "pack the text model's weights as bf16, q8, q4 or q4z, the last three with groups "
          "of :32, :64 or :128; as --dtype if not given")
      ->check(choices("bf16 q8 q4 q4z"))
      ->type_name("F")
      ->group(group);
  command
      .add_option("--vision-weights", options.vision_weights,
                  "the same for vision tower and projector; as --dtype if not given")
      ->check(choices("bf16 q8 q4 q4z"))
      ->type_name("F")
      ->group(group);
  command
      .add_option("--kv-cache", options.kv_cache,
                  "keep keys and values as bf16 or q8 (half the bytes); as --dtype if not given")
      ->check(choices("bf16 q8"))
      ->type_name("F")
      ->group(group);
  command
      .add_option("--isa", options.isa, "instruction path: plain, avx2, avx512, avx512_bf16, amx")
      ->check(choices("plain avx2 avx512 avx512_bf16 amx"))
      ->type_name("PATH")
      ->group(group);
  command.add_option("--context", options.context, "tokens of context; 0: the model's own limit")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--chunk", options.chunk, "most prompt rows of one step")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

}  // namespace

void add_common(CLI::App& command, CommonOptions& options, bool model) {
  if (model) {
    command.add_option("MODEL", options.model, "the checkpoint's folder")
        ->required()
        ->type_name("");
  }
  add_cards(command, options);
  const char* group = "Pictures";
  command
      .add_option("--vision-cut", options.vision_cut,
                  "cut pictures over cards by heads, whole pictures, or auto")
      ->check(choices("heads pictures auto"))
      ->capture_default_str()
      ->type_name("HOW")
      ->group(group);
  command
      .add_option("--max-image-pixels", options.max_image_pixels,
                  "largest picture, judged before it is decoded")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_flag("--exif-rotate", options.exif_rotate,
                "turn pictures as EXIF says (the reference does not)")
      ->group(group);
  command.add_flag("--json", options.json, "one JSON object on stdout");
  command.add_flag("-q,--quiet", options.quiet, "no progress and no figures on stderr");
}

CLI::Validator choices(const char* words) {
  return {[](std::string&) { return std::string(); }, "", words};
}

CLI::App& add_plain_command(CLI::App& app, const char* name, const char* what,
                            const char* examples) {
  CLI::App& command = *app.add_subcommand(name, what);
  command.footer(std::string("Examples:\n") + examples + kExitCodes);
  command.get_formatter()->column_width(34);
  return command;
}

CLI::App& add_command(CLI::App& app, const char* name, const char* what, const char* examples) {
  CLI::App& command = add_plain_command(app, name, what, examples);
  // Read before everything else is, by command_line.cc: there is nothing to fill here.
  command
      .add_option_function<std::string>(
          "--config", [](const std::string&) {},
          "settings from a TOML file; see cardloom config --help")
      ->type_name("FILE");
  return command;
}

namespace {

void add_sampling(CLI::App& command, SamplingOptions& options) {
  const char* group = "Sampling";
  command.add_option("--temperature", options.temperature, "0: greedy, the likeliest token always")
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  command.add_option("--top-p", options.top_p, "smallest set of tokens with this probability")
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  command.add_option("--top-k", options.top_k, "the k likeliest tokens only; 0: all")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--repetition-penalty", options.repetition_penalty, "above 1: repeat less")
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  command.add_option("--seed", options.seed, "the same seed gives the same answer")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

void add_images(CLI::App& command, std::vector<std::string>& images) {
  command.add_option("-i,--image", images, "a picture: JPEG, PNG or WebP; may be repeated")
      ->allow_extra_args(false)
      ->type_name("FILE");
}

void define_run(CLI::App& app, CommandLine& line) {
  RunOptions& options = line.run;
  CLI::App& command = add_command(
      app, "run", "answer a question about pictures, or chat",
      "  cardloom run glm-4v-9b \"What is in this picture?\" -i cat.jpg\n"
      "  cardloom run glm-4v-9b --tp 2                    chat; /help lists the commands\n"
      "  echo \"Hello!\" | cardloom run glm-4v-9b > answer  only the answer goes to stdout\n"
      "Greedy unless --temperature is given. Figures go to stderr.\n");
  add_common(command, options.common);
  command
      .add_option("PROMPT", options.prompt, "the question; none: stdin, or a chat on a terminal")
      ->type_name("");
  add_images(command, options.images);
  command.add_option("--system", options.system, "what the assistant is to be")->type_name("TEXT");
  command.add_option("--max-tokens", options.max_tokens, "longest answer; the context ends it too")
      ->capture_default_str()
      ->type_name("N");
  add_sampling(command, options.sampling);
  command.callback([&line] { line.chosen = [&line] { return run_run(line.run); }; });
}

void define_logits(CLI::App& app, CommandLine& line) {
  LogitsOptions& options = line.logits;
  CLI::App& command = add_command(
      app, "logits", "write the logits of every prompt row, to compare with another engine",
      "  cardloom logits glm-4v-9b --chat chat.json --dtype f32 --out logits.safetensors\n"
      "  cardloom logits glm-4v-9b --ids \"151331 151333 151336\" --trace --out l.safetensors\n"
      "Writes logits f32 [rows, vocab], image_embeds.<i> f32 [rows, hidden]; with --trace\n"
      "vision.embed, vision.layer.<n>, vision.conv, text.layer.<n>, text.final.\n");
  add_common(command, options.common);
  command.add_option("--ids", options.ids, "token ids; each begin-of-image takes an --image")
      ->type_name("IDS");
  command.add_option("--chat", options.chat, "a JSON list of OpenAI messages")->type_name("FILE");
  add_images(command, options.images);
  command.add_flag("--trace", options.trace, "also write every layer's output");
  command.add_option("-o,--out", options.out, "the safetensors file to write")
      ->required()
      ->type_name("FILE");
  command.callback([&line] { line.chosen = [&line] { return run_logits(line.logits); }; });
}

void define_generate(CLI::App& app, CommandLine& line) {
  GenerateOptions& options = line.generate;
  CLI::App& command = add_command(
      app, "generate", "token ids in, token ids out",
      "  cardloom generate glm-4v-9b --ids \"151331 151333 151336 198\" --max-tokens 8 --json\n"
      "Greedy unless --temperature is given; --json prints {\"ids\": [...], \"text\": ...}.\n");
  add_common(command, options.common);
  command.add_option("--ids", options.ids, "the prompt; each begin-of-image takes an --image")
      ->required()
      ->type_name("IDS");
  add_images(command, options.images);
  command.add_option("--max-tokens", options.max_tokens, "most tokens to generate")
      ->required()
      ->type_name("N");
  command.add_flag("--ignore-eos", options.ignore_eos, "go on after an end-of-sequence token");
  add_sampling(command, options.sampling);
  command.callback([&line] { line.chosen = [&line] { return run_generate(line.generate); }; });
}

void define_tokenize(CLI::App& app, CommandLine& line) {
  TokenizeOptions& options = line.tokenize;
  CLI::App& command = add_command(app, "tokenize", "the token ids of a text or a conversation",
                                  "  cardloom tokenize glm-4v-9b \"Hello!\"\n"
                                  "  cardloom tokenize glm-4v-9b --chat chat.json --json\n");
  add_common(command, options.common);
  command.add_option("TEXT", options.text, "the text; none: stdin")->type_name("");
  command.add_option("--chat", options.chat, "a JSON list of OpenAI messages")->type_name("FILE");
  command.add_flag("--special", options.special, "read <|user|> and the like as special tokens");
  command.callback([&line] { line.chosen = [&line] { return run_tokenize(line.tokenize); }; });
}

void define_preprocess(CLI::App& app, CommandLine& line) {
  PreprocessOptions& options = line.preprocess;
  CLI::App& command = add_command(
      app, "preprocess", "write what the model sees of a picture: pixel_values f32 [3, S, S]",
      "  cardloom preprocess glm-4v-9b cat.jpg --out cat.safetensors\n");
  add_common(command, options.common);
  command.add_option("IMAGE", options.image, "a JPEG, PNG or WebP")->required()->type_name("");
  command.add_option("-o,--out", options.out, "the safetensors file to write")
      ->required()
      ->type_name("FILE");
  command.callback([&line] { line.chosen = [&line] { return run_preprocess(line.preprocess); }; });
}

void define_inspect(CLI::App& app, CommandLine& line) {
  CLI::App& command = add_command(
      app, "inspect", "architecture, tensors and a memory plan, from config and headers alone",
      "  cardloom inspect glm-4v-9b --tp 4\n"
      "  cardloom inspect glm-4v-9b --context 4096 --json\n"
      "Works before the weights are there: config.json is enough.\n");
  add_common(command, line.inspect.common);
  command.callback([&line] { line.chosen = [&line] { return run_inspect(line.inspect); }; });
}

void define_check(CLI::App& app, CommandLine& line) {
  CheckOptions& options = line.check;
  options.common.tp = 2;
  CLI::App& command = add_command(
      app, "check", "before you deploy: one card against N, operator by operator, bit for bit",
      "  cardloom check glm-4v-9b --tp 4\n"
      "  cardloom check glm-4v-9b --tp 2 --prompt \"What is this?\" -i cat.jpg --json\n"
      "Also shows every operator's layouts and the copies they cost.\n");
  add_common(command, options.common);
  command.add_option("--prompt", options.prompt, "the question; a default otherwise")
      ->type_name("TEXT");
  add_images(command, options.images);
  command.add_option("--max-tokens", options.max_tokens, "tokens to generate and compare")
      ->capture_default_str()
      ->type_name("N");
  command.callback([&line] { line.chosen = [&line] { return run_check(line.check); }; });
}

void define_eval(CLI::App& app, CommandLine& line) {
  EvalOptions& options = line.eval;
  CLI::App& command = add_command(
      app, "eval", "exact-match accuracy on a folder of questions",
      "  cardloom eval demo/glm-4v-nano demo/eval --tp 2 --json\n"
      "DIR holds questions.jsonl: {\"image\": \"000.jpg\", \"question\": ..., \"answer\": ...}.\n");
  add_common(command, options.common);
  command.add_option("DIR", options.folder, "the folder with questions.jsonl")
      ->required()
      ->type_name("");
  command.add_option("--limit", options.limit, "only the first N questions; 0: all")
      ->capture_default_str()
      ->type_name("N");
  command.callback([&line] { line.chosen = [&line] { return run_eval(line.eval); }; });
}

void define_bench(CLI::App& app, CommandLine& line) {
  BenchOptions& options = line.bench;
  CLI::App& command = add_command(
      app, "bench", "speed, and how near it comes to what this machine can do",
      "  cardloom bench glm-4v-9b --tp 2\n"
      "  cardloom bench glm-4v-9b --prompt 128,512 --batch 1,8 --vision --json\n"
      "  cardloom bench glm-4v-9b --prompt 32 --decode 0 --accuracy\n"
      "Limits (memory, arithmetic units) are measured in the same run. Figures are medians.\n"
      "`cardloom bench serve` measures a running server.\n");
  add_common(command, options.common);
  command.add_option("--prompt", options.prompt, "rows of the prompts to time; 0: none")
      ->capture_default_str()
      ->type_name("N,..");
  command.add_option("--decode", options.decode, "tokens to decode; 0: none")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--batch", options.batch, "sequences that decode at once")
      ->capture_default_str()
      ->type_name("N,..");
  command.add_flag("--vision", options.vision, "also time a picture, and compare its layers");
  command.add_option("--rounds", options.rounds, "times that everything is measured")
      ->capture_default_str()
      ->type_name("N");
  command.add_flag("--accuracy", options.accuracy, "also compare every layer's output with f32");
  command.get_option("MODEL")->required(false);  // `bench serve` has none
  define_bench_serve(command, line.bench_serve, line.chosen);
  command.callback([&line, &command] {
    if (!command.get_subcommands().empty()) return;
    line.chosen = [&line] { return run_bench(line.bench); };
  });
}

void define_version(CLI::App& app, CommandLine& line) {
  CLI::App& command = add_command(app, "version", "version, instruction path and cores",
                                  "  cardloom version --json\n");
  add_common(command, line.version.common, /*model=*/false);
  command.callback([&line] { line.chosen = [&line] { return run_version(line.version); }; });
}

}  // namespace

void define_commands(CLI::App& app, CommandLine& line) {
  app.name("cardloom");
  app.description("GLM-4V on several cards, with the same bits on any number of them.");
  app.footer(std::string(kMainFooter) + kExitCodes);
  app.set_version_flag("--version", "cardloom " CARDLOOM_VERSION, "the version");
  app.require_subcommand(1);
  define_run(app, line);
  define_serve(app, line.serve, line.chosen);
  define_check(app, line);
  define_inspect(app, line);
  define_eval(app, line);
  define_bench(app, line);
  define_generate(app, line);
  define_logits(app, line);
  define_tokenize(app, line);
  define_preprocess(app, line);
  define_version(app, line);
  define_config(app, line.config, line.chosen);
  define_completion(app, line.completion, line.chosen);
}

}  // namespace cardloom::app
