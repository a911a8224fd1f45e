#pragma once

#include <string_view>

namespace tandem::bench {

/// GMAC/s of one thread that does nothing but dot products of bytes in registers, by the best instructions
/// that the kernel set of this name has: VPDPBUSD of 512 (avx512-vnni) or 256 bits (avx-vnni); VPMADDUBSW,
/// four results of which are added up in int16 before they go to int32 (avx2, sse41, and as a bound portable
/// on x86); SDOT (neon-dot) or SMULL and what adds its results up (neon).  amx-int8 is held against VPDPBUSD
/// too: its own instruction does in registers what nothing can load.
double dot_rate(std::string_view kernel_set);

}  // namespace tandem::bench
