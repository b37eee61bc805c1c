// llama_bench LIBDIR MODEL.gguf THREADS LOAD_MODE EXTRA PROMPT BATCHES STEPS: times llama.cpp (the
// libllama in the npm package @node-llama-cpp/linux-x64 3.22.1). Prints one JSON object a line:
// prefill of PROMPT tokens, then decoding STEPS tokens at each of BATCHES ("1,4,16") behind 32.
//
// LOAD_MODE 0 reads the file, 1 maps it; EXTRA 1 lets the CPU backend repack weights (AMX and the
// interleaved layouts), 0 does not. The package has no headers: the structs below are those of its
// llama.h, of which only the named members are touched, between llama_*_default_params() and use.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" {
struct llama_model;
struct llama_context;
struct llama_memory_i;

struct LlamaModelParams {
  void* devices;
  const void* buffer_overrides;
  int32_t num_gpu_layers, split_mode, main_gpu, load_mode;
  const float* tensor_split;
  void* progress;
  void* progress_data;
  const void* kv_overrides;
  const void* unnamed;
  bool vocab_only, check_tensors, use_extra, no_host, no_alloc;
  char rest[91];
};
struct LlamaContextParams {
  uint32_t words[64];
};
struct LlamaBatch {
  int32_t n;
  int32_t* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};

void llama_backend_init();
void ggml_backend_load_all_from_path(const char* path);
LlamaModelParams llama_model_default_params();
LlamaContextParams llama_context_default_params();
llama_model* llama_model_load_from_file(const char* path, LlamaModelParams params);
llama_context* llama_init_from_model(llama_model* model, LlamaContextParams params);
int llama_decode(llama_context* context, LlamaBatch batch);
LlamaBatch llama_batch_init(int tokens, int embd, int sequences);
llama_memory_i* llama_get_memory(const llama_context* context);
void llama_memory_clear(llama_memory_i* memory, bool data);
void llama_synchronize(llama_context* context);
void llama_log_set(void (*log)(int, const char*, void*), void* data);
}

namespace {

constexpr int kMaxTokens = 2048;
constexpr int kDecodePrompt = 32;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "error: llama.cpp: %s\n", what);
  std::_Exit(1);
}

class Bench {
 public:
  explicit Bench(llama_context* context)
      : context_(context), batch_(llama_batch_init(kMaxTokens, 0, 1)) {}

  void clear() { llama_memory_clear(llama_get_memory(context_), true); }

  double prefill(int tokens, int sequence, bool logits) {
    batch_.n = tokens;
    for (int i = 0; i < tokens; ++i) put(i, (i * 7919 + 13) % 150000, i, sequence, false);
    batch_.logits[tokens - 1] = logits;
    return run();
  }

  /// The median of `steps` steps.
  double decode(int batch, int steps) {
    clear();
    for (int sequence = 0; sequence < batch; ++sequence) prefill(kDecodePrompt, sequence, false);
    std::vector<double> seconds;
    for (int step = 0; step < steps; ++step) {
      batch_.n = batch;
      for (int sequence = 0; sequence < batch; ++sequence) {
        put(sequence, (step * 31 + sequence * 97) % 150000, kDecodePrompt + step, sequence, true);
      }
      seconds.push_back(run());
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }

 private:
  void put(int row, int token, int pos, int sequence, bool logits) {
    batch_.token[row] = token;
    batch_.pos[row] = pos;
    batch_.n_seq_id[row] = 1;
    batch_.seq_id[row][0] = sequence;
    batch_.logits[row] = logits;
  }
  double run() {
    const double begin = now();
    if (llama_decode(context_, batch_) != 0) fail("llama_decode failed");
    llama_synchronize(context_);
    return now() - begin;
  }

  llama_context* context_;
  LlamaBatch batch_;
};

llama_context* open_context(char** argv) {
  llama_log_set([](int, const char*, void*) {}, nullptr);
  ggml_backend_load_all_from_path(argv[1]);
  llama_backend_init();
  LlamaModelParams model_params = llama_model_default_params();
  model_params.load_mode = std::atoi(argv[4]);
  model_params.use_extra = std::atoi(argv[5]) != 0;
  llama_model* model = llama_model_load_from_file(argv[2], model_params);
  if (model == nullptr) fail("the model does not load");
  LlamaContextParams params = llama_context_default_params();
  const auto threads = static_cast<uint32_t>(std::atoi(argv[3]));
  params.words[0] = 8192;        // n_ctx
  params.words[1] = kMaxTokens;  // n_batch
  params.words[2] = 512;         // n_ubatch
  params.words[3] = 16;          // n_seq_max
  params.words[7] = threads;
  params.words[8] = threads;  // for batches
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) fail("there is no context");
  return context;
}

void print(const char* phase, int batch, int tokens, double seconds) {
  std::printf("{\"phase\":\"%s\",\"batch\":%d,\"tokens\":%d,\"tokens_per_s\":%.3f}\n", phase, batch,
              tokens, tokens / seconds);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fputs("usage: llama_bench LIBDIR MODEL THREADS LOAD_MODE EXTRA PROMPT BATCHES STEPS\n",
               stderr);
    return 2;
  }
  Bench bench(open_context(argv));
  const int prompt = std::min(std::atoi(argv[6]), kMaxTokens);
  bench.prefill(std::min(prompt, 64), 0, true);  // warms up
  bench.clear();
  print("prefill", 1, prompt, bench.prefill(prompt, 0, true));
  const std::string batches = argv[7];
  for (std::size_t at = 0; at < batches.size(); at = batches.find(',', at) + 1) {
    const int batch = std::clamp(std::atoi(batches.c_str() + at), 1, 16);
    print("decode", batch, batch, bench.decode(batch, std::max(1, std::atoi(argv[8]))));
    if (batches.find(',', at) == std::string::npos) break;
  }
  std::_Exit(0);  // its threads' end is no part of what is measured, and takes seconds
}
