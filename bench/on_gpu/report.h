#pragma once

#include <cstdio>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "backends/cuda/runtime.h"
#include "model/error.h"

namespace tandem::bench {

using Json = nlohmann::ordered_json;

inline Json to_json(const cuda::DeviceProperties& device) {
  return {{"name", device.name},
          {"compute_capability", device.compute_capability},
          {"multiprocessors", device.multiprocessors},
          {"total_bytes", device.total_bytes},
          {"cache_bytes", device.cache_bytes}};
}

/// Writes `report` to the file, all of it or nothing; none if `path` is empty.
inline void write_report(const std::string& path, const Json& report) {
  if (path.empty()) return;
  const auto unfinished = path + ".new";
  std::ofstream file(unfinished);
  file << report.dump(1) << "\n";
  file.close();
  if (!file || std::rename(unfinished.c_str(), path.c_str()) != 0) throw Error(path + ": cannot be written");
}

}  // namespace tandem::bench
