#pragma once

#include <cstddef>
#include <cstdint>

/// What one core can do at best: loops on registers, and one over memory. See machine_probe.h.
namespace cardloom::cpu {

/// Runs `rounds` rounds of independent multiply-adds on registers; returns the operations done, 2
/// for each multiply-add. A round is some tens of nanoseconds.
using PeakLoop = double (*)(std::int64_t rounds);

/// Reads `bytes`, a multiple of 4096, from a 64-byte aligned address, in four streams: one alone
/// leaves the prefetchers idle at every page. Returns a sum of what it read.
using ReadLoop = std::uint64_t (*)(const std::byte* data, std::int64_t bytes);

/// nullptr: an instruction path without such a unit.
struct PeakKernels {
  ReadLoop read = nullptr;
  PeakLoop f32 = nullptr;
  PeakLoop bf16 = nullptr;  ///< a dot instruction, or tiles on kAmx
  PeakLoop int8 = nullptr;  ///< VNNI, or tiles on kAmx
};

// One table an instruction path, each in a translation unit of its own flags.
extern const PeakKernels kPeakPlain;
extern const PeakKernels kPeakAvx2;
extern const PeakKernels kPeakAvx512;
extern const PeakKernels kPeakAvx512Bf16;
extern const PeakKernels kPeakAmx;

}  // namespace cardloom::cpu
