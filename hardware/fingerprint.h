#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tandem::hardware {

/// What the measured speed of a machine depends on.  Two runs with the same fingerprint may share what one of
/// them measured.
struct Fingerprint {
  std::string cpu;                            ///< the processor's own name, family, model and stepping
  std::uint32_t cpus = 0;                     ///< hardware threads that this process may use
  std::uint32_t threads = 0;                  ///< of the CPU stages as configured; 0: one for each core
  std::vector<std::uint64_t> cache_bytes;     ///< of data, level 1 first (hardware/caches.h)
  std::uint64_t ram_gib = 0;                  ///< to the nearest: the kernel keeps a varying rest for itself
  std::vector<std::string> gpus;              ///< names, in the driver's order
  std::vector<std::string> instruction_sets;  ///< of those that kernels are compiled for
  std::string version;                        ///< of Tandem
  std::string kernels;                        ///< the set that TANDEM_KERNELS asks for, if it does

  bool operator==(const Fingerprint&) const = default;
};

/// This machine's.  `root` stands for "/", for tests.  What cannot be found out is empty or 0.
Fingerprint this_machine(std::uint32_t threads, const std::filesystem::path& root = "/");

/// One JSON object with the members above as names.
std::string to_json(const Fingerprint& fingerprint);

/// Sixteen hexadecimal digits, different for machines that differ in anything above.
std::string key_of(const Fingerprint& fingerprint);

}  // namespace tandem::hardware
