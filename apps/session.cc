#include "apps/session.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <thread>
#include <utility>

#include "apps/memory.h"
#include "apps/progress.h"
#include "apps/text.h"
#include "cardloom/backend/backends.h"
#include "cardloom/backend/cpu/isa.h"
#include "cardloom/base/file.h"
#include "cardloom/models/chat_json.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/glm4v/processor.h"
#include "cardloom/weights/shard_plan.h"

namespace cardloom::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMaxChatFileBytes = std::int64_t{32} << 20;
constexpr std::int64_t kMaxPictureFileBytes = std::int64_t{256} << 20;

std::string isa_name(const CommonOptions& options) {
  if (!options.isa.empty()) return options.isa;
  const char* value = std::getenv("CARDLOOM_ISA");
  return value == nullptr ? "" : value;
}

VisionCut vision_cut_of(const CommonOptions& options) {
  if (options.vision_cut == "heads") return VisionCut::kHeads;
  if (options.vision_cut == "pictures") return VisionCut::kPictures;
  return VisionCut::kAuto;
}

PreparedPrompt finish_prompt(const Checkpoint& checkpoint, const TokenizedChat& chat,
                             const std::vector<std::string>& images, const CommonOptions& options) {
  PreparedPrompt prepared;
  std::vector<Tensor> pixel_values;
  for (const std::string& path : images) {
    LoadedPicture picture = load_picture(path, checkpoint, options);
    prepared.decode += picture.decode;
    prepared.preprocess += picture.preprocess;
    pixel_values.push_back(std::move(picture.pixel_values));
  }
  prepared.num_images = static_cast<std::int64_t>(pixel_values.size());
  prepared.prompt =
      unwrap(glm4v::make_prompt(chat, std::move(pixel_values), checkpoint.config()), kExitUsage);
  for (const ImageSpan& span : prepared.prompt.image_spans) {
    prepared.image_rows += span.end - span.begin;
  }
  return prepared;
}

/// The file that a picture's reference names. An API's clients send URLs; a command reads files.
std::string file_of(const std::string& reference) {
  constexpr std::string_view kFile = "file://";
  if (reference.starts_with(kFile)) return reference.substr(kFile.size());
  for (const char* scheme : {"data:", "http:", "https:"}) {
    if (!reference.starts_with(scheme)) continue;
    fail_usage(fmt::format("{} is no path of a picture", reference.substr(0, 60)),
               fmt::format("commands read pictures from files, not from {} URLs", scheme),
               "save the picture and give its path");
  }
  return reference;
}

}  // namespace

void check_context(std::int64_t context, const glm4v::Glm4vConfig& config) {
  if (context <= config.max_positions) return;
  fail_usage(
      fmt::format("--context is {}, but the model has {} positions", context, config.max_positions),
      "its config.json says so (seq_length)", fmt::format("--context {}", config.max_positions));
}

ChatStyle Checkpoint::style() const {
  return config().vision ? ChatStyle::kGlm4v : ChatStyle::kGlm4;
}

const std::vector<std::int32_t>& Checkpoint::stop_ids() const {
  const auto& ids = directory.generation.eos_token_ids;
  return ids.empty() ? config().eos_token_ids : ids;
}

/// An unknown name is a typing mistake; a known one that this machine lacks is the device's fault.
std::string chosen_isa(const CommonOptions& options) {
  const std::string name = isa_name(options);
  const Result<cpu::Isa> isa = cpu::choose_isa(name);
  if (isa) return std::string(to_string(*isa));
  bool known = false;
  for (int index = 0; index < cpu::kNumIsas; ++index) {
    known = known || name == to_string(static_cast<cpu::Isa>(index));
  }
  Error error = isa.error();
  error.remedy = "use one of these with --isa or CARDLOOM_ISA, or leave both out for the fastest";
  throw Failure(known ? kExitDevice : kExitUsage, std::move(error));
}

LoadedModelDirectory open_directory(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    throw Failure(kExitBadModel,
                  make_error(ErrorCode::kNotFound, fmt::format("there is no folder {}", path),
                             "MODEL is a Hugging Face checkpoint: a folder with config.json",
                             "give the folder's path, such as demo/glm-4v-nano"));
  }
  Result<LoadedModelDirectory> opened = open_model(path);
  if (opened) return *std::move(opened);
  Error error = std::move(opened).error();
  if (error.remedy.empty()) error.remedy = "take the checkpoint's files as they are published";
  throw Failure(kExitBadModel, std::move(error));
}

Checkpoint open_checkpoint(const std::string& path) {
  Checkpoint checkpoint;
  checkpoint.directory = open_directory(path);
  checkpoint.tokenizer = unwrap(load_tokenizer(path), kExitBadModel);
  return checkpoint;
}

void check_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high,
                 Location at) {
  if (value >= low && value <= high) return;
  const std::string range =
      high == INT64_MAX ? fmt::format("{} or more", low) : fmt::format("{} to {}", low, high);
  fail_usage(fmt::format("{} is {}, but must be {}", name, value, range), {},
             fmt::format("{} {}", name, value < low ? low : high), at);
}

void check_common(const CommonOptions& options) {
  if (options.tp < 1 || options.tp > 8) {
    fail_usage(fmt::format("--tp is {}, but a model runs on 1 to 8 cards", options.tp),
               "every number from 1 to 8 works, whether it divides the heads or not",
               "--tp 1, 2, 3, 4, 5, 6, 7 or 8");
  }
  check_range("--threads", options.threads, 0, 1024);
  check_range("--context", options.context, 0, INT64_MAX);
  check_range("--chunk", options.chunk, 1, 65536);
  check_range("--max-image-pixels", options.max_image_pixels, 1, std::int64_t{1} << 40);
  static_cast<void>(chosen_isa(options));
  if (options.dtype != "bf16" && options.dtype != "f32") {
    fail_usage(fmt::format("--dtype is \"{}\", but must be bf16 or f32", options.dtype),
               "the type to compute in; checkpoints may be bf16, f16 or f32", "--dtype bf16");
  }
  static_cast<void>(formats_of(options));
  static_cast<void>(kv_cache_of(options));
  if (options.vision_cut != "auto" && options.vision_cut != "heads" &&
      options.vision_cut != "pictures") {
    fail_usage(fmt::format("--vision-cut is \"{}\", but must be auto, heads or pictures",
                           options.vision_cut),
               "how pictures are cut over cards; the bits are the same", "--vision-cut auto");
  }
}

DType dtype_of(const CommonOptions& options) {
  return options.dtype == "f32" ? DType::kF32 : DType::kBF16;
}

glm4v::WeightFormats formats_of(const CommonOptions& options) {
  const auto parse = [](const char* option,
                        const std::string& name) -> std::optional<WeightFormat> {
    if (name.empty()) return std::nullopt;
    const Result<WeightFormat> format = parse_weight_format(name);
    if (format) return *format;
    fail_usage(fmt::format("{}: {}", option, format.error().message), format.error().detail,
               fmt::format("{} q8", option));
  };
  const std::optional<WeightFormat> text = parse("--weights", options.weights);
  const std::optional<WeightFormat> vision = parse("--vision-weights", options.vision_weights);
  return with_exit_code(kExitUsage,
                        [&] { return glm4v::weight_formats(dtype_of(options), text, vision); });
}

DType kv_cache_of(const CommonOptions& options) {
  std::optional<DType> wanted;
  for (const DType dtype : {DType::kBF16, DType::kI8, DType::kF32}) {
    if (options.kv_cache == kv_cache_name(dtype)) wanted = dtype;
  }
  if (!wanted && !options.kv_cache.empty()) {
    fail_usage(fmt::format("--kv-cache is \"{}\", but must be bf16 or q8", options.kv_cache),
               "what keys and values are kept in; f32 with --dtype f32", "--kv-cache q8");
  }
  return with_exit_code(kExitUsage, [&] { return kv_cache_dtype(dtype_of(options), wanted); });
}

std::string formats_text(const glm4v::WeightFormats& formats) {
  if (formats.text == formats.vision) return to_string(formats.text);
  return fmt::format("{}, vision {}", to_string(formats.text), to_string(formats.vision));
}

DecodeOptions decode_options(const CommonOptions& options) {
  return {.max_pixels = options.max_image_pixels, .apply_exif_orientation = options.exif_rotate};
}

LoadedPicture load_picture(const std::string& reference, const Checkpoint& checkpoint,
                           const CommonOptions& options) {
  if (!checkpoint.config().vision) {
    fail_usage("this model takes no pictures", "config.json has no vision_config",
               "leave the picture out, or use a glm-4v checkpoint");
  }
  const std::string path = file_of(reference);
  LoadedPicture picture;
  const Clock::time_point begin = Clock::now();
  const std::string bytes = unwrap(read_file(path, kMaxPictureFileBytes), kExitUsage);
  const Image image = unwrap(decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())),
                                          path, decode_options(options)),
                             kExitUsage);
  const Clock::time_point decoded = Clock::now();
  picture.pixel_values = glm4v::make_pixel_values(image, checkpoint.config().vision->image_size);
  picture.decode = decoded - begin;
  picture.preprocess = Clock::now() - decoded;
  return picture;
}

PreparedPrompt prepare_chat(const Checkpoint& checkpoint, const std::vector<ChatMessage>& messages,
                            const CommonOptions& options) {
  const TokenizedChat chat =
      unwrap(tokenize_chat(*checkpoint.tokenizer, checkpoint.style(), messages), kExitUsage);
  std::vector<std::string> images;
  for (const ImagePlace& place : chat.images) images.push_back(place.reference);
  return finish_prompt(checkpoint, chat, images, options);
}

PreparedPrompt prepare_ids(const Checkpoint& checkpoint, const std::string& ids,
                           const std::vector<std::string>& images, const CommonOptions& options) {
  std::vector<std::int32_t> numbers = unwrap(parse_ids(ids), kExitUsage);
  const TokenizedChat chat =
      unwrap(glm4v::find_pictures(std::move(numbers), static_cast<std::int64_t>(images.size()),
                                  checkpoint.config()),
             kExitUsage);
  return finish_prompt(checkpoint, chat, images, options);
}

ChatMessage make_message(std::string role, std::string content, std::vector<std::string> images) {
  ChatMessage message;
  message.role = std::move(role);
  message.content = std::move(content);
  message.images = std::move(images);
  return message;
}

std::vector<ChatMessage> read_chat(const std::string& path,
                                   const std::vector<std::string>& images) {
  const std::string text = unwrap(read_file(path, kMaxChatFileBytes), kExitUsage);
  std::vector<ChatMessage> messages = unwrap(parse_chat(text, path), kExitUsage);
  if (images.empty()) return messages;
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role != "user") continue;
    message->images.insert(message->images.end(), images.begin(), images.end());
    return messages;
  }
  fail_usage(fmt::format("{}: no message of the user for the picture to go with", path),
             counted(static_cast<std::int64_t>(messages.size()), "message"),
             "add a message with role \"user\"");
}

std::string LoadedEngine::describe() const {
  std::string text =
      fmt::format("{} x {}, {}, {}", counted(tp, "card"), counted(threads_per_card, "thread"),
                  instruction_path, to_string(dtype));
  const std::string plain(to_string(dtype));
  if (to_string(weights.text) != plain) text += ", weights " + to_string(weights.text);
  if (to_string(weights.vision) != plain) text += ", vision weights " + to_string(weights.vision);
  if (kv_cache != dtype) text += fmt::format(", KV cache {}", kv_cache_name(kv_cache));
  return text;
}

std::int64_t context_of(const CommonOptions& options, const EngineNeeds& needs,
                        const glm4v::Glm4vConfig& config) {
  if (needs.context_tokens > 0) return needs.context_tokens;
  return options.context > 0 ? options.context : config.max_positions;
}

EngineOptions engine_options(const CommonOptions& options, const EngineNeeds& needs,
                             const glm4v::Glm4vConfig& config) {
  EngineOptions engine;
  engine.context_tokens = context_of(options, needs, config);
  engine.max_sequences = needs.max_sequences;
  engine.max_step_tokens = options.chunk;
  engine.kv_cache = kv_cache_of(options);
  engine.max_logits_rows = needs.max_logits_rows;
  engine.kv_tokens = needs.kv_tokens;
  engine.picture_bytes = needs.picture_bytes;
  engine.speculate_ngram = needs.speculate_ngram;
  engine.vision_layers_per_step = static_cast<int>(needs.vision_layers_per_step);
  engine.vision_cut = vision_cut_of(options);
  engine.populate = needs.populate;
  engine.stream = with_exit_code(kExitUsage, [] { return StreamOptions::from_environment(); });
  engine.stream.fingerprints = needs.fingerprints;
  return engine;
}

/// Scratch memory and buffers of all cards, each taken by a thread on its card.
static void reserve_cards(CardGroup& cards, const RunPlan& plan) {
  std::vector<std::exception_ptr> failures(cards.devices.size());
  std::vector<std::jthread> threads;
  for (std::size_t rank = 0; rank < cards.devices.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        reserve_card(cards, static_cast<int>(rank), plan.scratch[rank]);
      } catch (...) {
        failures[rank] = std::current_exception();  // rethrown below
      }
    });
  }
  threads.clear();  // joins
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

LoadedEngine load_engine(const Checkpoint& checkpoint, const CommonOptions& options,
                         const EngineNeeds& needs) {
  const RunPlan plan = require_memory(checkpoint.config(), options, needs);
  check_context(context_of(options, needs, checkpoint.config()), checkpoint.config());

  LoadedEngine loaded;
  PlacedCards placed = unwrap(make_cards({.num_cards = static_cast<int>(options.tp),
                                          .threads_per_card = static_cast<int>(options.threads),
                                          .isa = chosen_isa(options)}),
                              kExitDevice);
  if (!placed.warning.empty()) {
    std::fputs(fmt::format("warning: {}\n", one_line(placed.warning)).c_str(), stderr);
  }
  loaded.tp = static_cast<int>(options.tp);
  loaded.threads_per_card = placed.threads_per_card;
  loaded.instruction_path = placed.instruction_path;
  loaded.dtype = dtype_of(options);
  loaded.weights = formats_of(options);
  loaded.kv_cache = kv_cache_of(options);

  const EngineOptions engine = engine_options(options, needs, checkpoint.config());
  const Clock::time_point begin = Clock::now();
  LoadProgress progress(options.quiet || options.json);
  const ModelFactory factory = [&](const CardGroup& cards) {
    std::vector<Device*> devices;
    for (const auto& device : cards.devices) devices.push_back(device.get());
    return with_exit_code(kExitBadModel, [&] {
      return load_models(checkpoint.directory, devices,
                         {.dtype = loaded.dtype,
                          .weights = loaded.weights.text,
                          .vision_weights = loaded.weights.vision,
                          .progress = [&](std::int64_t done, std::int64_t total) {
                            progress.update(done, total);
                            if (needs.on_load) needs.on_load(done, total);
                          }});
    });
  };
  if (needs.populate) {
    with_exit_code(kExitDevice, [&] { reserve_cards(placed.cards, plan); });
  }
  loaded.engine = with_exit_code(kExitDevice, [&] {
    return std::make_unique<Engine>(std::move(placed.cards), factory, engine);
  });
  loaded.load_time = Clock::now() - begin;
  return loaded;
}

}  // namespace cardloom::app
