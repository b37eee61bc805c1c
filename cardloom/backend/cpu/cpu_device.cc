#include "cardloom/backend/cpu/cpu_device.h"

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/scratch_plan.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {

CpuDevice::CpuDevice(int index, CpuDeviceOptions options)
    : id_{DeviceKind::kCpu, static_cast<std::uint8_t>(index)},
      isa_(options.isa),
      pool_(std::move(options.cpus), options.pinned),
      gemm_(&gemm_kernels(isa_)),
      rows_(&row_kernels(isa_)),
      kernels_(make_kernel_table()),
      scratch_(static_cast<std::size_t>(pool_.size()) + 1) {}

std::byte* CpuDevice::scratch(int worker, std::int64_t bytes) {
  Tensor& memory = scratch_[static_cast<std::size_t>(worker + 1)];
  if (memory.size_bytes() < bytes) {
    memory = Tensor(DType::kU8, {round_up(bytes, std::int64_t{1} << 16)});
  }
  return memory.view().data;
}

void CpuDevice::reserve_scratch(const ScratchNeeds& needs) {
  const ScratchBytes bytes = cpu::scratch_bytes(needs, isa_);
  for (int worker = kShared; worker < pool_.size(); ++worker) {
    static_cast<void>(scratch(worker, worker == kShared ? bytes.team : bytes.worker));
    scratch_[static_cast<std::size_t>(worker + 1)].populate();
  }
}

std::int64_t CpuDevice::scratch_bytes() const {
  std::int64_t bytes = 0;
  for (const Tensor& memory : scratch_) bytes += memory.size_bytes();
  return bytes;
}

}  // namespace cardloom::cpu
