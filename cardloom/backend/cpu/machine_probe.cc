#include "cardloom/backend/cpu/machine_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"
#include "cardloom/backend/cpu/thread_pool.h"
#include "cardloom/base/error.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::cpu {
namespace {

using Clock = std::chrono::steady_clock;

/// Long against the start of a team, short against the drift of the machine.
constexpr std::chrono::milliseconds kPeakTime{10};
constexpr int kRoundTrips = 2000;
constexpr std::int64_t kLeastReadBytes = std::int64_t{1} << 20;
/// Read loops take whole pages.
constexpr std::int64_t kReadUnit = 4096;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

bool has(Isa isa) {
  const std::vector<Isa> isas = supported_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

/// A figure of MachineFigures and the loop that measures it.
struct Unit {
  double MachineFigures::*figure;
  Isa isa;
  PeakLoop loop;
};

/// Every unit; those of a path that the machine lacks are passed over. The widest f32 last: it
/// stands for all narrower ones.
const Unit kUnits[] = {
    {&MachineFigures::plain_f32_flops, Isa::kPlain, kPeakPlain.f32},
    {&MachineFigures::avx2_f32_flops, Isa::kAvx2, kPeakAvx2.f32},
    {&MachineFigures::f32_flops, Isa::kAvx512, kPeakAvx512.f32},
    {&MachineFigures::bf16_flops, Isa::kAvx512Bf16, kPeakAvx512Bf16.bf16},
    {&MachineFigures::vnni_ops, Isa::kAvx512Bf16, kPeakAvx512Bf16.int8},
    {&MachineFigures::amx_bf16_flops, Isa::kAmx, kPeakAmx.bf16},
    {&MachineFigures::amx_int8_ops, Isa::kAmx, kPeakAmx.int8},
};
constexpr std::size_t kNumUnits = std::size(kUnits);

ReadLoop best_read_loop() {
  if (has(Isa::kAvx512)) return kPeakAvx512.read;
  return has(Isa::kAvx2) ? kPeakAvx2.read : kPeakPlain.read;
}

/// Operations a second of a whole team: each thread's own rate, added up.
double measure_unit(ThreadPool& pool, const Unit& unit) {
  std::vector<double> rates(static_cast<std::size_t>(pool.size()));
  pool.run_team([&](int worker) {
    std::int64_t rounds = 256;
    double operations = 0;
    const Clock::time_point begin = Clock::now();
    for (double seconds = 0; seconds < std::chrono::duration<double>(kPeakTime).count();) {
      operations += unit.loop(rounds);
      seconds = seconds_since(begin);
      rates[static_cast<std::size_t>(worker)] = operations / seconds;
      rounds = 4096;
    }
  });
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

/// Bytes a second of a team that reads the memory once, from its start until the last is done.
double measure_read(ThreadPool& pool, const Tensor& memory, ReadLoop read) {
  const std::int64_t each = memory.size_bytes() / pool.size() / kReadUnit * kReadUnit;
  std::atomic<std::uint64_t> sum{0};
  const Clock::time_point begin = Clock::now();
  pool.run_team([&](int worker) { sum += read(memory.view().data + worker * each, each); });
  return static_cast<double>(each * pool.size()) / seconds_since(begin);
}

/// One line between two threads: workers 0 and 1 write in turn.
double measure_round_trip_ns(ThreadPool& pool) {
  struct alignas(64) Line {
    std::atomic<int> turn{0};
  } line;
  double ns = 0;
  pool.run_team([&](int worker) {
    if (worker > 1) return;
    const Clock::time_point begin = Clock::now();
    for (int trip = 0; trip < kRoundTrips; ++trip) {
      while (line.turn.load(std::memory_order_acquire) != 2 * trip + worker) {
        // As a kernel waits: without a pause, the fastest answer there is.
      }
      line.turn.store(2 * trip + worker + 1, std::memory_order_release);
    }
    if (worker == 0) ns = seconds_since(begin) * 1e9 / kRoundTrips;
  });
  return ns;
}

/// What one team measured, call by call.
struct Series {
  explicit Series(std::vector<int> cpus, bool pinned) : pool(std::move(cpus), pinned) {}

  ThreadPool pool;
  std::vector<double> read;
  std::vector<double> units[kNumUnits];

  void measure(const Tensor& memory, ReadLoop loop) {
    for (std::size_t unit = 0; unit < kNumUnits; ++unit) {
      if (has(kUnits[unit].isa)) units[unit].push_back(measure_unit(pool, kUnits[unit]));
    }
    read.push_back(measure_read(pool, memory, loop));
  }

  [[nodiscard]] MachineFigures figures() const {
    MachineFigures figures;
    figures.num_threads = pool.size();
    figures.read_bytes_per_s = median(read);
    for (std::size_t unit = 0; unit < kNumUnits; ++unit) {
      figures.*kUnits[unit].figure = median(units[unit]);
    }
    figures.f32_flops =
        std::max({figures.f32_flops, figures.avx2_f32_flops, figures.plain_f32_flops});
    return figures;
  }
};

}  // namespace

struct MachineProbe::Impl {
  explicit Impl(const MachineProbeOptions& options)
      : memory(DType::kU8, {options.read_bytes / kReadUnit * kReadUnit}),
        one({options.cpus.front()}, options.pinned) {
    if (options.cpus.size() > 1) all = std::make_unique<Series>(options.cpus, options.pinned);
    // Written before it is read: pages never written are all the same page of zeros. By its
    // readers, so that it lies where they read it.
    ThreadPool& pool = all ? all->pool : one.pool;
    const std::int64_t each = memory.size_bytes() / pool.size() / kReadUnit * kReadUnit;
    pool.run_team([&](int worker) {
      std::memset(memory.view().data + worker * each, 1, static_cast<std::size_t>(each));
    });
  }

  Tensor memory;
  ReadLoop read = best_read_loop();
  Series one;
  std::unique_ptr<Series> all;  ///< nothing if one thread is all
  std::vector<double> round_trips;
};

MachineProbe::MachineProbe(MachineProbeOptions options, Location caller) {
  if (options.cpus.empty() || options.read_bytes < kLeastReadBytes) {
    throw_error(ErrorCode::kInvalidArgument, "a probe needs a CPU and memory to read",
                fmt::format("{} CPUs, {} bytes; at least 1 and {}", options.cpus.size(),
                            options.read_bytes, kLeastReadBytes),
                {}, caller);
  }
  impl_ = std::make_unique<Impl>(options);
}

MachineProbe::~MachineProbe() = default;

void MachineProbe::measure() {
  // On a thread of its own: worker 0 of a pinned team is the caller, who is not to stay pinned.
  std::thread([this] {
    impl_->one.pool.bind_caller();
    impl_->one.measure(impl_->memory, impl_->read);
    if (!impl_->all) return;
    impl_->all->pool.bind_caller();
    impl_->all->measure(impl_->memory, impl_->read);
    impl_->round_trips.push_back(measure_round_trip_ns(impl_->all->pool));
  }).join();
}

void MachineProbe::release_memory() { impl_->memory = Tensor(); }

MachineFigures MachineProbe::figures(int num_threads) const {
  return num_threads == 1 || !impl_->all ? impl_->one.figures() : impl_->all->figures();
}

double MachineProbe::round_trip_ns() const { return median(impl_->round_trips); }

}  // namespace cardloom::cpu
