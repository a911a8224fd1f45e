#include <immintrin.h>

#include "bench/dot_loops.h"

namespace tandem::bench {
namespace {

/// Independent sums: enough that none waits for the one before it.
constexpr int kSums = 12;

/// Makes the compiler believe that `value` changes here, so that no product is computed only once.
#define TANDEM_CHANGES(value) asm volatile("" : "+x"(value))

[[gnu::target("avx512f,avx512vnni")]] void dot_512() {
  __m512i sums[kSums] = {}, x = _mm512_set1_epi8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, x, x);
      asm volatile("" : "+v"(sum));
    }
  }
}

[[gnu::target("avx2,avxvnni")]] void dot_256() {
  __m256i sums[kSums] = {}, x = _mm256_set1_epi8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm256_dpbusd_avx_epi32(sum, x, x);
      TANDEM_CHANGES(sum);
    }
  }
}

/// Products that are added up in int16, and so many sums of them at a time.
constexpr int kTogether = 4, kWordSums = 3;

[[gnu::target("avx2")]] void multiply_256() {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[kWordSums] = {}, x = _mm256_set1_epi8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 3
    for (auto& sum : sums) {
      TANDEM_CHANGES(x);
      __m256i words = _mm256_maddubs_epi16(x, x);
#pragma GCC unroll 3
      for (int i = 1; i < kTogether; ++i) {
        TANDEM_CHANGES(x);
        words = _mm256_add_epi16(words, _mm256_maddubs_epi16(x, x));
      }
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
      TANDEM_CHANGES(sum);
    }
  }
}

[[gnu::target("sse4.1")]] void multiply_128() {
  const __m128i ones = _mm_set1_epi16(1);
  __m128i sums[kWordSums] = {}, x = _mm_set1_epi8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 3
    for (auto& sum : sums) {
      TANDEM_CHANGES(x);
      __m128i words = _mm_maddubs_epi16(x, x);
#pragma GCC unroll 3
      for (int i = 1; i < kTogether; ++i) {
        TANDEM_CHANGES(x);
        words = _mm_add_epi16(words, _mm_maddubs_epi16(x, x));
      }
      sum = _mm_add_epi32(sum, _mm_madd_epi16(words, ones));
      TANDEM_CHANGES(sum);
    }
  }
}

#undef TANDEM_CHANGES

}  // namespace

DotLoop dot_loop(std::string_view kernel_set) {
  if (kernel_set == "amx-int8" || kernel_set == "avx512-vnni") return {dot_512, kSums * 64};
  if (kernel_set == "avx-vnni") return {dot_256, kSums * 32};
  if (kernel_set == "avx2") return {multiply_256, kWordSums * kTogether * 32};
  return {multiply_128, kWordSums * kTogether * 16};
}

}  // namespace tandem::bench
