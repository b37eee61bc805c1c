// llama_gguf OUT.gguf LAYERS bf16|q8_0|q4_0: random weights in the shape of glm-4v-9b's text model,
// cut to LAYERS, as llama.cpp reads them (architecture "chatglm", no vocabulary).
// Source: ggml's docs/gguf.md (version 3) and ggml-common.h (block_q8_0, block_q4_0).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench/synth/pool.h"
#include "bench/synth/synth_checkpoint.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/tensor/dtype.h"

namespace {

using namespace cardloom;

constexpr std::int64_t kPoolNumbers = std::int64_t{1} << 22;
constexpr std::int64_t kAlignment = 32;
constexpr int kBlock = 32;  ///< numbers that share a scale

/// ggml's number of a type, its file type, and bytes of a block.
struct Format {
  const char* name;
  std::uint32_t ggml_type;
  std::uint32_t file_type;
  std::int64_t block_numbers;
  std::int64_t block_bytes;
};
constexpr Format kF32{"f32", 0, 0, 1, 4};
constexpr Format kFormats[] = {
    {"bf16", 30, 32, 1, 2}, {"q8_0", 8, 7, 32, 34}, {"q4_0", 2, 2, 32, 18}};

void put_block_q8(const float* from, std::uint8_t* to) {
  float most = 0;
  for (int i = 0; i < kBlock; ++i) most = std::max(most, std::abs(from[i]));
  const f16 scale = to_f16(most / 127);
  std::memcpy(to, &scale.bits, 2);
  for (int i = 0; i < kBlock; ++i) {
    to[2 + i] = static_cast<std::uint8_t>(
        static_cast<std::int8_t>(most > 0 ? std::lround(from[i] * 127 / most) : 0));
  }
}

void put_block_q4(const float* from, std::uint8_t* to) {
  float most = 0;
  for (int i = 0; i < kBlock; ++i) most = std::abs(from[i]) > std::abs(most) ? from[i] : most;
  const float scale = most / -8;
  const f16 stored = to_f16(scale);
  std::memcpy(to, &stored.bits, 2);
  const auto digit = [&](float value) {
    const long q = scale != 0 ? std::lround(value / scale + 8) : 8;
    return static_cast<unsigned>(std::clamp(q, 0L, 15L));
  };
  for (int i = 0; i < kBlock / 2; ++i) {
    to[2 + i] = static_cast<std::uint8_t>(digit(from[i]) | digit(from[i + kBlock / 2]) << 4);
  }
}

std::vector<std::uint8_t> make_pool(const Format& format) {
  const std::vector<float> values = synth::f32_pool(1, kPoolNumbers, 0.02F);
  const std::int64_t blocks = kPoolNumbers / format.block_numbers;
  std::vector<std::uint8_t> pool(static_cast<std::size_t>(blocks * format.block_bytes));
  for (std::int64_t block = 0; block < blocks; ++block) {
    const float* from = values.data() + block * format.block_numbers;
    std::uint8_t* to = pool.data() + block * format.block_bytes;
    if (std::strcmp(format.name, "q8_0") == 0) {
      put_block_q8(from, to);
    } else if (std::strcmp(format.name, "q4_0") == 0) {
      put_block_q4(from, to);
    } else {
      const bf16 value = to_bf16(*from);
      std::memcpy(to, &value.bits, 2);
    }
  }
  return pool;
}

/// GGUF's binary form: little-endian numbers, strings with their length in front.
class Bytes {
 public:
  template <class T>
  void number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void string(const std::string& value) {
    number<std::uint64_t>(value.size());
    text_ += value;
  }
  void entry(const std::string& key, const std::string& value) {
    string(key);
    number<std::uint32_t>(8);
    string(value);
    ++num_entries_;
  }
  void entry(const std::string& key, std::int64_t value) {
    string(key);
    number<std::uint32_t>(4);
    number(static_cast<std::uint32_t>(value));
    ++num_entries_;
  }
  void entry(const std::string& key, float value) {
    string(key);
    number<std::uint32_t>(6);
    number(value);
    ++num_entries_;
  }
  void entry(const std::string& key, bool value) {
    string(key);
    number<std::uint32_t>(7);
    number<std::uint8_t>(value ? 1 : 0);
    ++num_entries_;
  }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::uint64_t num_entries() const { return num_entries_; }

 private:
  std::string text_;
  std::uint64_t num_entries_ = 0;
};

struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< fastest axis first, as GGUF has it
  const Format* format;

  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t count = 1;
    for (const std::int64_t length : shape) count *= length;
    return count / format->block_numbers * format->block_bytes;
  }
};

std::vector<GgufTensor> tensors_of(const glm4v::Glm4vConfig& config, const Format& format) {
  const std::int64_t H = config.hidden_size;
  const std::int64_t I = config.intermediate_size;
  std::vector<GgufTensor> tensors = {{"token_embd.weight", {H, config.vocab_size}, &format}};
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto add = [&](const char* part, std::vector<std::int64_t> shape, const Format& type) {
      tensors.push_back({fmt::format("blk.{}.{}", layer, part), std::move(shape), &type});
    };
    add("attn_norm.weight", {H}, kF32);
    add("attn_qkv.weight", {H, config.qkv_features()}, format);
    add("attn_qkv.bias", {config.qkv_features()}, kF32);
    add("attn_output.weight", {config.num_heads * config.head_dim, H}, format);
    add("ffn_norm.weight", {H}, kF32);
    add("ffn_up.weight", {H, 2 * I}, format);
    add("ffn_down.weight", {I, H}, format);
  }
  tensors.push_back({"output_norm.weight", {H}, &kF32});
  tensors.push_back({"output.weight", {H, config.vocab_size}, &format});
  return tensors;
}

Bytes entries_of(const glm4v::Glm4vConfig& config, const Format& format) {
  Bytes bytes;
  bytes.entry("general.architecture", std::string("chatglm"));
  bytes.entry("general.name", std::string("random"));
  bytes.entry("general.file_type", std::int64_t{format.file_type});
  bytes.entry("chatglm.context_length", config.max_positions);
  bytes.entry("chatglm.embedding_length", config.hidden_size);
  bytes.entry("chatglm.block_count", config.num_layers);
  bytes.entry("chatglm.feed_forward_length", config.intermediate_size);
  bytes.entry("chatglm.attention.head_count", config.num_heads);
  bytes.entry("chatglm.attention.head_count_kv", config.num_kv_heads);
  bytes.entry("chatglm.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps));
  bytes.entry("chatglm.rope.dimension_count", config.rotary_dim);
  bytes.entry("chatglm.rope.freq_base", static_cast<float>(config.rope_theta));
  bytes.entry("chatglm.vocab_size", config.vocab_size);
  bytes.entry("tokenizer.ggml.model", std::string("no_vocab"));
  bytes.entry("tokenizer.ggml.add_bos_token", false);
  return bytes;
}

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void write_data(std::ofstream& file, const GgufTensor& tensor,
                const std::vector<std::uint8_t>& pool) {
  std::int64_t left = tensor.bytes();
  if (tensor.format == &kF32) {
    const std::vector<float> ones(static_cast<std::size_t>(left / 4),
                                  tensor.name.ends_with("bias") ? 0.0F : 1.0F);
    file.write(reinterpret_cast<const char*>(ones.data()), left);
  } else {
    synth::Random random(1, tensor.name);
    std::int64_t begin = random.below(1000) * tensor.format->block_bytes;
    for (std::int64_t run = 0; left > 0; left -= run, begin = 0) {
      run = std::min(left, static_cast<std::int64_t>(pool.size()) - begin);
      file.write(reinterpret_cast<const char*>(pool.data()) + begin, run);
    }
  }
  const std::string padding(static_cast<std::size_t>(aligned(tensor.bytes()) - tensor.bytes()),
                            '\0');
  file.write(padding.data(), static_cast<std::streamsize>(padding.size()));
}

bool write_gguf(const std::string& path, const glm4v::Glm4vConfig& config, const Format& format) {
  const std::vector<GgufTensor> tensors = tensors_of(config, format);
  const Bytes entries = entries_of(config, format);
  Bytes header;
  header.number<std::uint32_t>(0x46554747);  // "GGUF"
  header.number<std::uint32_t>(3);
  header.number<std::uint64_t>(tensors.size());
  header.number<std::uint64_t>(entries.num_entries());
  Bytes table;
  std::int64_t offset = 0;
  for (const GgufTensor& tensor : tensors) {
    table.string(tensor.name);
    table.number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::int64_t length : tensor.shape) table.number(static_cast<std::uint64_t>(length));
    table.number(tensor.format->ggml_type);
    table.number(static_cast<std::uint64_t>(offset));
    offset += aligned(tensor.bytes());
  }
  std::string head = header.text() + entries.text() + table.text();
  head.resize(static_cast<std::size_t>(aligned(static_cast<std::int64_t>(head.size()))), '\0');
  const std::vector<std::uint8_t> pool = make_pool(format);
  std::ofstream file(path, std::ios::binary);
  file.write(head.data(), static_cast<std::streamsize>(head.size()));
  for (const GgufTensor& tensor : tensors) write_data(file, tensor, pool);
  file.close();
  return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) {
  const Format* format = nullptr;
  for (const Format& each : kFormats) {
    if (argc == 4 && std::strcmp(argv[3], each.name) == 0) format = &each;
  }
  const int layers = argc == 4 ? std::atoi(argv[2]) : 0;
  if (format == nullptr || layers < 1 || layers > 1024) {
    std::fputs("usage: llama_gguf OUT.gguf LAYERS bf16|q8_0|q4_0\n", stderr);
    return 2;
  }
  auto config = glm4v::parse_config(synth::default_config(), "config.json");
  if (!config) {
    std::fprintf(stderr, "error: %s\n", config.error().message.c_str());
    return 1;
  }
  config->num_layers = layers;
  if (!write_gguf(argv[1], *config, *format)) {
    std::fprintf(stderr, "error: cannot write %s\n", argv[1]);
    return 1;
  }
  return 0;
}
