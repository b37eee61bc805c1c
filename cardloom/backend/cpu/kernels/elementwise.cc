#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kRunElements = 1024;  ///< three runs of f32 stay in the first-level cache
constexpr std::int64_t kTaskElements = 16384;
constexpr int kMaxOperands = 3;

/// All operands of an element-wise operator, their common axes reordered and merged so that the
/// innermost is as long and as dense in the output as can be.
struct Loop {
  int rank = 0;
  std::int64_t length[TensorView::kMaxRank] = {};
  int num_operands = 0;
  Run operands[kMaxOperands];
  std::int64_t stride[kMaxOperands][TensorView::kMaxRank] = {};
};

bool mergeable(const Loop& loop, int axis) {
  for (int operand = 0; operand < loop.num_operands; ++operand) {
    const std::int64_t* stride = loop.stride[operand];
    if (stride[axis] != stride[axis + 1] * loop.length[axis + 1]) return false;
  }
  return true;
}

void merge(Loop& loop, int axis) {
  loop.length[axis] *= loop.length[axis + 1];
  for (int operand = 0; operand < loop.num_operands; ++operand) {
    loop.stride[operand][axis] = loop.stride[operand][axis + 1];
  }
  for (int next = axis + 1; next + 1 < loop.rank; ++next) {
    loop.length[next] = loop.length[next + 1];
    for (int operand = 0; operand < loop.num_operands; ++operand) {
      loop.stride[operand][next] = loop.stride[operand][next + 1];
    }
  }
  --loop.rank;
}

/// `views`: the output first.
Loop make_loop(std::initializer_list<TensorView> views) {
  const TensorView& out = *views.begin();
  int order[TensorView::kMaxRank];
  Loop loop;
  for (int axis = 0; axis < out.rank; ++axis) {
    if (out.shape[axis] != 1) order[loop.rank++] = axis;
  }
  std::stable_sort(order, order + loop.rank,
                   [&](int a, int b) { return std::abs(out.stride[a]) > std::abs(out.stride[b]); });
  for (const TensorView& view : views) {
    for (int place = 0; place < loop.rank; ++place) {
      loop.length[place] = view.shape[order[place]];
      loop.stride[loop.num_operands][place] = view.stride[order[place]];
    }
    loop.operands[loop.num_operands++] = {view.dtype, view.data, 1};
  }
  if (loop.rank == 0) loop.length[loop.rank++] = 1;
  for (int axis = loop.rank - 2; axis >= 0; --axis) {
    if (mergeable(loop, axis)) merge(loop, axis);
  }
  return loop;
}

/// Calls body(operands, n, worker) for runs of n <= kRunElements that together are all elements.
template <class Body>
void for_each_run(CpuDevice& device, const Loop& loop, const Body& body) {
  const int inner = loop.rank - 1;
  const std::int64_t run = std::min(loop.length[inner], kRunElements);
  std::int64_t num_runs = run == 0 ? 0 : ceil_div(loop.length[inner], run);
  const std::int64_t runs_per_row = num_runs;
  for (int axis = 0; axis < inner; ++axis) num_runs *= loop.length[axis];
  if (num_runs == 0) return;
  const std::int64_t runs_per_task = std::max<std::int64_t>(1, kTaskElements / run);
  const auto visit = [&](std::int64_t index, int worker) {
    Run operands[kMaxOperands];
    const std::int64_t begin = index % runs_per_row * run;
    for (int operand = 0; operand < loop.num_operands; ++operand) {
      std::int64_t rest = index / runs_per_row;
      std::int64_t offset = begin * loop.stride[operand][inner];
      for (int axis = inner - 1; axis >= 0; --axis) {
        offset += rest % loop.length[axis] * loop.stride[operand][axis];
        rest /= loop.length[axis];
      }
      operands[operand] = loop.operands[operand];
      operands[operand].data += offset * size_of(operands[operand].dtype);
      operands[operand].stride = loop.stride[operand][inner];
    }
    body(operands, std::min(run, loop.length[inner] - begin), worker);
  };
  device.pool().parallel_for(ceil_div(num_runs, runs_per_task), [&](std::int64_t task, int worker) {
    const std::int64_t end = std::min(num_runs, (task + 1) * runs_per_task);
    for (std::int64_t index = task * runs_per_task; index < end; ++index) visit(index, worker);
  });
}

/// The arithmetic of one run: inputs and output as f32.
struct Compute {
  const RowKernels& kernels;
  CpuDevice& device;

  template <class Function>
  void unary(const TensorView& x, const TensorView& out, const Function& function) const {
    for_each_run(device, make_loop({out, x}), [&](const Run* run, std::int64_t n, int worker) {
      float* scratch = scratch_of(worker);
      const float* from = read_run(kernels, run[1], n, scratch);
      float* to = target_of(run[0], n, scratch);
      function(from, to, n);
      write_run(kernels, to, run[0], n);
    });
  }

  template <class Function>
  void binary(const TensorView& a, const TensorView& b, const TensorView& out,
              const Function& function) const {
    for_each_run(device, make_loop({out, a, b}), [&](const Run* run, std::int64_t n, int worker) {
      float* scratch = scratch_of(worker);
      const float* left = read_run(kernels, run[1], n, scratch);
      const float* right = read_run(kernels, run[2], n, scratch + kRunElements);
      float* to = target_of(run[0], n, scratch);
      function(left, right, to, n);
      write_run(kernels, to, run[0], n);
    });
  }

  [[nodiscard]] float* scratch_of(int worker) const {
    return reinterpret_cast<float*>(
        device.scratch(worker, 2 * kRunElements * static_cast<std::int64_t>(sizeof(float))));
  }
};

Compute compute(const KernelContext& context) {
  CpuDevice& device = cpu_device(context);
  return {device.rows(), device};
}

}  // namespace

void silu_and_mul(const KernelContext& context, const SiluAndMulArgs& args) {
  const Compute run = compute(context);
  run.binary(args.gate, args.up, args.out, run.kernels.silu_and_mul);
}

void gelu(const KernelContext& context, const GeluArgs& args) {
  const Compute run = compute(context);
  run.unary(args.x, args.out, run.kernels.gelu);
}

void copy(const KernelContext& context, const CopyArgs& args) {
  const Compute run = compute(context);
  if (args.x.dtype != args.out.dtype) {
    run.unary(args.x, args.out, [](const float* from, float* to, std::int64_t n) {
      if (from != to) std::copy(from, from + n, to);
    });
    return;
  }
  for_each_run(
      run.device, make_loop({args.out, args.x}),
      [](const Run* operands, std::int64_t n, int) { copy_run(operands[1], operands[0], n); });
}

void add(const KernelContext& context, const AddArgs& args) {
  const Compute run = compute(context);
  run.binary(args.a, args.b, args.out, run.kernels.add);
}

void scale(const KernelContext& context, const ScaleArgs& args) {
  const Compute run = compute(context);
  run.unary(args.x, args.out, [&](const float* from, float* to, std::int64_t n) {
    run.kernels.scale(from, args.factor, to, n);
  });
}

}  // namespace cardloom::cpu
