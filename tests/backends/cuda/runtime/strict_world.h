#pragma once

// What the parts of strict_cuda.h share.

#include <algorithm>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/backends/cuda/runtime/strict_cuda.h"

// CUDA's handles are pointers to these.

struct CUctx_st {
  int device = 0;
  unsigned multiprocessors = tandem::cuda_test::kMultiprocessors;
  bool green = false;
};

struct CUgreenCtx_st {
  CUctx_st context;
  std::size_t streams = 0;
  bool current = false;  ///< to some thread
};

struct CUgraph_st {
  std::vector<std::function<void()>> work;
};

struct CUgraphExec_st {
  CUgraph_st graph;
  CUctx_st* uploaded_to = nullptr;
};

struct CUstream_st {
  CUctx_st* context = nullptr;
  CUgreenCtx_st* part = nullptr;
  std::unique_ptr<CUgraph_st> captured;
  bool spoilt = false;
};

struct CUevent_st {
  CUctx_st* context = nullptr;
};

struct CUdevResourceDesc_st {
  unsigned multiprocessors = 0;
};

namespace tandem::cuda_test {

constexpr std::size_t kDeviceBytes = std::size_t{16} << 30;
constexpr std::size_t kPage = std::size_t{2} << 20;        ///< that device memory comes in
constexpr std::size_t kGraphBytes = std::size_t{3} << 20;  ///< of an instantiated graph: some pages
constexpr std::size_t kSharedBytes = std::size_t{48} << 10;
constexpr std::size_t kSharedBytesWithLeave = std::size_t{99} << 10;
constexpr unsigned kGreenStep = 8;  ///< multiprocessors, of compute capability 9.0

struct Block {
  std::size_t bytes;
  bool on_device;
};

struct World {
  StrictCuda machine;
  StrictCounts counts;
  std::vector<std::string> complaints;
  CUctx_st primary[2] = {{0}, {1}};
  bool open[2] = {};
  std::size_t taken_bytes = 0;
  std::map<std::byte*, Block> memory;
  std::map<const void*, std::size_t> shared_leave;
  std::set<const void*> kernels;
};

/// Both are there before kernels register themselves.
inline std::recursive_mutex& world_mutex() {
  static std::recursive_mutex it;
  return it;
}
inline World& world() {
  static World it;
  return it;
}

inline thread_local CUctx_st* current = nullptr;
inline thread_local std::vector<CUctx_st*> pushed;
inline thread_local CUstream_st* capturing = nullptr;  ///< by this thread, in its mode

using Lock = std::lock_guard<std::recursive_mutex>;

inline void complain(const std::string& about) {
  world().complaints.push_back(about);
}

/// What calls that a capture of this thread forbids do to it (cudaStreamCaptureModeThreadLocal).
inline bool forbidden_now() {
  if (capturing != nullptr) capturing->spoilt = true;
  return capturing != nullptr;
}

inline std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

inline cudaError_t open_device(int device) {
  auto& it = world();
  if (device < 0 || device >= it.machine.gpus) return cudaErrorInvalidDevice;
  if (!it.open[device]) {
    it.open[device] = true;
    it.taken_bytes += kContextBytes;
  }
  return cudaSuccess;
}

/// Whether the program has code that it runs.
inline bool has_code(int device) {
  return device == 0;
}

/// An event of the context that is current; false if there is none.
inline bool make_event(CUevent_st** event) {
  const Lock lock(world_mutex());
  if (current == nullptr) return false;
  *event = new CUevent_st{current};
  ++world().counts.events;
  return true;
}

/// A call of the driver, which a program finds by name, and the version of CUDA that brought it.
struct EntryPoint {
  void* address;
  unsigned since;
};
const std::map<std::string_view, EntryPoint>& entry_points();

}  // namespace tandem::cuda_test
