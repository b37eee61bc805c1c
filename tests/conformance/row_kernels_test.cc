// The functions below the operators, on every instruction path, against f64.
#include "cardloom/backend/cpu/kernels/row_kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom::cpu {
namespace {

using Function = void (*)(const float*, float*, std::int64_t);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Body>
void for_each_path(Body body) {
  for (const Isa isa : supported_isas()) {
    SCOPED_TRACE(std::string(to_string(isa)));
    body(row_kernels(isa));
  }
}

float apply(Function function, float x) {
  float result = 0;
  function(&x, &result, 1);
  return result;
}

/// Every 997th float from `low` to `high` (both positive or both negative).
std::vector<float> floats_between(float low, float high) {
  std::vector<float> values;
  const auto first = std::bit_cast<std::uint32_t>(low);
  const auto last = std::bit_cast<std::uint32_t>(high);
  for (std::uint32_t bits = first; bits <= last; bits += 997) {
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

TEST(RowKernels, ExpWithinTwoUnits) {
  for_each_path([](const RowKernels& kernels) {
    for (const float sign : {1.0F, -1.0F}) {
      std::vector<float> x = floats_between(1e-9F, 88.7F);
      for (float& value : x) value *= sign;
      std::vector<float> y(x.size());
      kernels.exp(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = std::exp(static_cast<double>(x[i]));
        // Below 2^-126 the unit in the last place is fixed.
        const double unit = std::max(exact * 0x1p-23, 0x1p-149);
        ASSERT_LE(std::abs(y[i] - exact), 2 * unit) << x[i];
      }
    }
    EXPECT_EQ(apply(kernels.exp, 0), 1);
    EXPECT_EQ(apply(kernels.exp, -0.0F), 1);
    EXPECT_EQ(apply(kernels.exp, -kInfinity), 0);
    EXPECT_EQ(apply(kernels.exp, -1e30F), 0);
    EXPECT_EQ(apply(kernels.exp, kInfinity), kInfinity);
    EXPECT_EQ(apply(kernels.exp, 1e30F), kInfinity);
    EXPECT_GT(apply(kernels.exp, -103), 0);  // subnormal
    EXPECT_TRUE(std::isnan(apply(kernels.exp, std::nanf(""))));
  });
}

TEST(RowKernels, GeluIsExact) {
  for_each_path([](const RowKernels& kernels) {
    for (const float sign : {1.0F, -1.0F}) {
      std::vector<float> x = floats_between(1e-6F, 30.0F);
      for (float& value : x) value *= sign;
      std::vector<float> y(x.size());
      kernels.gelu(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double a = x[i];
        const double exact = a / 2 * std::erfc(-a / std::sqrt(2.0));
        ASSERT_LE(std::abs(y[i] - exact), 1.2e-7 * std::max(1.0, std::abs(a))) << x[i];
        if (a < 0) {
          ASSERT_LE(std::abs(y[i] - exact), 1e-7) << x[i];
        }
      }
    }
    EXPECT_EQ(apply(kernels.gelu, 0), 0);
    EXPECT_EQ(apply(kernels.gelu, kInfinity), kInfinity);
    EXPECT_EQ(apply(kernels.gelu, 1e30F), 1e30F);
    EXPECT_EQ(apply(kernels.gelu, -1e30F), 0);
    EXPECT_TRUE(std::isnan(apply(kernels.gelu, -kInfinity)));  // -inf * 0
    EXPECT_TRUE(std::isnan(apply(kernels.gelu, std::nanf(""))));
  });
}

TEST(RowKernels, SiluOfLargeNumbers) {
  for_each_path([](const RowKernels& kernels) {
    const std::vector<float> gate = {-1e30F, -100, 100, kInfinity, std::nanf("")};
    const std::vector<float> up(gate.size(), 2);
    std::vector<float> out(gate.size());
    kernels.silu_and_mul(gate.data(), up.data(), out.data(), 5);
    EXPECT_EQ(out[0], 0);
    EXPECT_NEAR(out[1], 0, 1e-38);
    EXPECT_EQ(out[2], 200);
    EXPECT_EQ(out[3], kInfinity);
    EXPECT_TRUE(std::isnan(out[4]));
  });
}

TEST(RowKernels, PlaceInARunChangesNoBits) {
  std::vector<float> x(101);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 0.173F - 8;
  for_each_path([&](const RowKernels& kernels) {
    for (const Function function : {kernels.exp, kernels.gelu}) {
      for (std::size_t n = 0; n <= x.size(); ++n) {
        std::vector<float> out(n + 1, -7.0F);
        function(x.data() + x.size() - n, out.data(), static_cast<std::int64_t>(n));
        for (std::size_t i = 0; i < n; ++i) {
          ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]),
                    std::bit_cast<std::uint32_t>(apply(function, x[x.size() - n + i])));
        }
        ASSERT_EQ(out[n], -7.0F) << "written beyond the end";
      }
    }
  });
}

TEST(RowKernels, SumsOfAnyLength) {
  for_each_path([](const RowKernels& kernels) {
    for (const std::int64_t n : {0, 1, 3, 15, 16, 17, 63, 64, 65, 200, 1001}) {
      std::vector<float> x(static_cast<std::size_t>(n));
      double sum = 0;
      double squares = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::sin(static_cast<float>(i)) + 3;
        sum += x[i];
        squares += (x[i] - 2.5) * (x[i] - 2.5);
      }
      EXPECT_NEAR(kernels.sum(x.data(), n), sum, 1e-6 * sum);
      EXPECT_NEAR(kernels.sum_squares(x.data(), 2.5F, n), squares, 1e-6 * squares);
    }
  });
}

TEST(RowKernels, HalvesConvertAsDTypeSays) {
  std::vector<std::uint16_t> all(1 << 16);
  for (std::size_t bits = 0; bits < all.size(); ++bits)
    all[bits] = static_cast<std::uint16_t>(bits);
  std::vector<float> numbers;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 65521) {
    numbers.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const std::uint16_t bits : all) {  // every f16, its neighbours and the ties between two
    const auto wide = std::bit_cast<std::uint32_t>(to_f32(f16{bits}));
    for (const std::uint32_t offset : {0x0fffU, 0x1000U, 0x1001U, 0U}) {
      numbers.push_back(std::bit_cast<float>(wide + offset));
    }
  }
  const auto n = static_cast<std::int64_t>(numbers.size());
  for_each_path([&](const RowKernels& kernels) {
    std::vector<float> wide(all.size());
    kernels.f16_to_f32(all.data(), wide.data(), 1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
                std::bit_cast<std::uint32_t>(to_f32(f16{all[i]})));
    }
    kernels.bf16_to_f32(all.data(), wide.data(), 1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
                std::bit_cast<std::uint32_t>(to_f32(bf16{all[i]})));
    }
    std::vector<std::uint16_t> narrow(numbers.size());
    kernels.f32_to_f16(numbers.data(), narrow.data(), n);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(narrow[i], to_f16(numbers[i]).bits) << numbers[i];
    }
    kernels.f32_to_bf16(numbers.data(), narrow.data(), n);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(narrow[i], to_bf16(numbers[i]).bits) << numbers[i];
    }
  });
}

}  // namespace
}  // namespace cardloom::cpu
