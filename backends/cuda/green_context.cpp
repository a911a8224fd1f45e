#include "backends/cuda/green_context.h"

#include <cuda.h>
#include <cudaTypedefs.h>
#include <string>

#include "backends/cuda/runtime.h"

namespace tandem::cuda {
namespace {

/// Versions of CUDA that brought the calls.
constexpr unsigned kDevices = 2000;
constexpr unsigned kEvents = 2000;
constexpr unsigned kCurrentContexts = 4000;
constexpr unsigned kGreenContexts = 12040;
constexpr unsigned kGreenStreams = 12050;

/// A call of the driver, which no program is linked with.
template <class Call>
Call entry_point(const char* name, unsigned version) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const auto error = cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableDefault, &found);
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess || address == nullptr) {
    throw DeviceError(std::string("part of a GPU: the driver has no ") + name);
  }
  return reinterpret_cast<Call>(address);
}

void check(CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return;
  throw DeviceError(std::string("part of a GPU: ") + call + " fails with error " +
                    std::to_string(static_cast<int>(result)));
}

}  // namespace

GreenContext::GreenContext(int number, std::uint32_t multiprocessors) {
  const auto device_of = entry_point<PFN_cuDeviceGet_v2000>("cuDeviceGet", kDevices);
  const auto get_resource =
      entry_point<PFN_cuDeviceGetDevResource_v12040>("cuDeviceGetDevResource", kGreenContexts);
  const auto split =
      entry_point<PFN_cuDevSmResourceSplitByCount_v12040>("cuDevSmResourceSplitByCount", kGreenContexts);
  const auto describe =
      entry_point<PFN_cuDevResourceGenerateDesc_v12040>("cuDevResourceGenerateDesc", kGreenContexts);
  const auto create = entry_point<PFN_cuGreenCtxCreate_v12040>("cuGreenCtxCreate", kGreenContexts);
  CUdevice device = 0;
  check(device_of(&device, number), "cuDeviceGet");
  CUdevResource all{};
  check(get_resource(device, &all, CU_DEV_RESOURCE_TYPE_SM), "cuDeviceGetDevResource");
  CUdevResource part{};
  unsigned parts = 1;
  check(split(&part, &parts, &all, nullptr, 0, multiprocessors), "cuDevSmResourceSplitByCount");
  if (parts == 0) throw DeviceError("part of a GPU: it has too few multiprocessors");
  CUdevResourceDesc description = nullptr;
  check(describe(&description, &part, 1), "cuDevResourceGenerateDesc");
  check(create(&context_, description, device, CU_GREEN_CTX_DEFAULT_STREAM), "cuGreenCtxCreate");
  multiprocessors_ = part.sm.smCount;
}

GreenContext::~GreenContext() {
  try {
    entry_point<PFN_cuGreenCtxDestroy_v12040>("cuGreenCtxDestroy", kGreenContexts)(context_);
  } catch (const DeviceError&) {
    return;  // without the driver there is nothing to give back
  }
}

cudaStream_t GreenContext::make_stream() const {
  const auto create = entry_point<PFN_cuGreenCtxStreamCreate_v12050>("cuGreenCtxStreamCreate", kGreenStreams);
  CUstream stream = nullptr;
  check(create(&stream, context_, CU_STREAM_NON_BLOCKING, 0), "cuGreenCtxStreamCreate");
  return stream;
}

cudaEvent_t GreenContext::make_event() const {
  const auto context_of = entry_point<PFN_cuCtxFromGreenCtx_v12040>("cuCtxFromGreenCtx", kGreenContexts);
  const auto push = entry_point<PFN_cuCtxPushCurrent_v4000>("cuCtxPushCurrent", kCurrentContexts);
  const auto pop = entry_point<PFN_cuCtxPopCurrent_v4000>("cuCtxPopCurrent", kCurrentContexts);
  const auto create = entry_point<PFN_cuEventCreate_v2000>("cuEventCreate", kEvents);
  const std::lock_guard<std::mutex> lock(current_);
  CUcontext context = nullptr;
  check(context_of(&context, context_), "cuCtxFromGreenCtx");
  check(push(context), "cuCtxPushCurrent");
  CUevent event = nullptr;
  const auto created = create(&event, CU_EVENT_DISABLE_TIMING);
  check(pop(&context), "cuCtxPopCurrent");
  check(created, "cuEventCreate");
  return event;
}

}  // namespace tandem::cuda
