#pragma once

#include <memory>
#include <vector>

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/backend/cpu/thread_pool.h"
#include "cardloom/device/device.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::cpu {

struct GemmKernels;
struct RowKernels;

struct CpuDeviceOptions {
  std::vector<int> cpus = {0};  ///< one a thread
  bool pinned = false;
  Isa isa = Isa::kPlain;
};

/// A CPU card: a team of threads on some cores, and the kernels of one instruction path.
class CpuDevice final : public Device {
 public:
  CpuDevice(int index, CpuDeviceOptions options);

  [[nodiscard]] DeviceId id() const override { return id_; }
  [[nodiscard]] const KernelTable& kernels() const override { return kernels_; }
  void bind_thread() override { pool_.bind_caller(); }
  [[nodiscard]] int num_threads() const override { return pool_.size(); }
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) override {
    pool_.parallel_for(count, [&body](std::int64_t index, int) { body(index); });
  }
  void reserve_scratch(const ScratchNeeds& needs) override;
  [[nodiscard]] std::string_view instruction_path() const override { return to_string(isa_); }

  [[nodiscard]] Isa isa() const { return isa_; }
  [[nodiscard]] ThreadPool& pool() { return pool_; }
  [[nodiscard]] const GemmKernels& gemm() const { return *gemm_; }
  [[nodiscard]] const RowKernels& rows() const { return *rows_; }

  /// Scratch of at least `bytes`, 64-byte aligned, for the running kernel only; kept and grown,
  /// never shrunk. `worker` 0.. has its own; kShared is one for the whole team (call before the
  /// team runs).
  static constexpr int kShared = -1;
  [[nodiscard]] std::byte* scratch(int worker, std::int64_t bytes);
  /// Of all workers and the team.
  [[nodiscard]] std::int64_t scratch_bytes() const;

 private:
  DeviceId id_;
  Isa isa_;
  ThreadPool pool_;
  const GemmKernels* gemm_;
  const RowKernels* rows_;
  KernelTable kernels_;
  std::vector<Tensor> scratch_;  ///< [worker + 1]
};

/// The device a CPU kernel runs on.
[[nodiscard]] inline CpuDevice& cpu_device(const KernelContext& context) {
  return static_cast<CpuDevice&>(*context.device);
}

/// All CPU kernels, written out in kernels.cc.
[[nodiscard]] KernelTable make_kernel_table();

}  // namespace cardloom::cpu
