// The driver's calls of strict_cuda.h.

#include <cuda.h>
#include <cudaTypedefs.h>
#include <utility>

#include "tests/backends/cuda/runtime/strict_world.h"

namespace tandem::cuda_test {
namespace {

CUresult CUDAAPI device_get(CUdevice* device, int number) {
  *device = number;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI get_resource(CUdevice, CUdevResource* resource, CUdevResourceType type) {
  if (type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  resource->type = type;
  resource->sm.smCount = kMultiprocessors;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI split(CUdevResource* result, unsigned* groups, const CUdevResource* input, CUdevResource*,
                       unsigned flags, unsigned least) {
  if (flags != 0 || least > input->sm.smCount) return CUDA_ERROR_INVALID_VALUE;
  const unsigned each = std::max((least + kGreenStep - 1) / kGreenStep * kGreenStep, kGreenStep);
  *groups = std::min(*groups, input->sm.smCount / each);
  for (unsigned i = 0; i < *groups; ++i) {
    result[i] = *input;
    result[i].sm.smCount = each;
  }
  return CUDA_SUCCESS;
}

CUresult CUDAAPI describe(CUdevResourceDesc* description, CUdevResource* resources, unsigned n) {
  if (n != 1 || resources->type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_VALUE;
  *description = new CUdevResourceDesc_st{resources->sm.smCount};  // the driver's, for good
  return CUDA_SUCCESS;
}

CUresult CUDAAPI create(CUgreenCtx* made, CUdevResourceDesc description, CUdevice device, unsigned flags) {
  const Lock lock(world_mutex());
  if (flags != CU_GREEN_CTX_DEFAULT_STREAM) return CUDA_ERROR_INVALID_VALUE;
  if (!world().open[device]) complain("a green context before the primary one");
  *made = new CUgreenCtx_st{{device, description->multiprocessors, true}, 0, false};
  delete description;
  ++world().counts.green_contexts;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI destroy(CUgreenCtx part) {
  const Lock lock(world_mutex());
  if (part->streams > 0) complain("a green context ended before its streams");
  delete part;
  --world().counts.green_contexts;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI stream_create(CUstream* stream, CUgreenCtx part, unsigned flags, int) {
  const Lock lock(world_mutex());
  if (flags != CU_STREAM_NON_BLOCKING) complain("a stream that waits for the default stream");
  *stream = new CUstream_st{&part->context, part, nullptr, false};
  ++part->streams;
  ++world().counts.streams;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI context_of(CUcontext* context, CUgreenCtx part) {
  *context = &part->context;
  return CUDA_SUCCESS;
}

/// The green context that holds `context`; null for a primary one.
CUgreenCtx_st* part_of(CUctx_st* context) {
  return context->green ? reinterpret_cast<CUgreenCtx_st*>(context) : nullptr;
}

CUresult CUDAAPI push(CUcontext context) {
  const Lock lock(world_mutex());
  if (auto* const part = part_of(context)) {
    if (part->current) complain("a green context is current to two threads");
    part->current = true;
  }
  pushed.push_back(std::exchange(current, context));
  return CUDA_SUCCESS;
}

CUresult CUDAAPI pop(CUcontext* context) {
  const Lock lock(world_mutex());
  if (pushed.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (auto* const part = part_of(current)) part->current = false;
  *context = std::exchange(current, pushed.back());
  pushed.pop_back();
  return CUDA_SUCCESS;
}

CUresult CUDAAPI event_create(CUevent* event, unsigned) {
  return make_event(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

template <class Call>
EntryPoint entry(Call call, unsigned since) {
  return {reinterpret_cast<void*>(call), since};
}

}  // namespace

// Of the types that CUDA's own header has for them.
const std::map<std::string_view, EntryPoint>& entry_points() {
  static const std::map<std::string_view, EntryPoint> all{
      {"cuDeviceGet", entry<PFN_cuDeviceGet_v2000>(device_get, 2000)},
      {"cuDeviceGetDevResource", entry<PFN_cuDeviceGetDevResource_v12040>(get_resource, 12040)},
      {"cuDevSmResourceSplitByCount", entry<PFN_cuDevSmResourceSplitByCount_v12040>(split, 12040)},
      {"cuDevResourceGenerateDesc", entry<PFN_cuDevResourceGenerateDesc_v12040>(describe, 12040)},
      {"cuGreenCtxCreate", entry<PFN_cuGreenCtxCreate_v12040>(create, 12040)},
      {"cuGreenCtxDestroy", entry<PFN_cuGreenCtxDestroy_v12040>(destroy, 12040)},
      {"cuGreenCtxStreamCreate", entry<PFN_cuGreenCtxStreamCreate_v12050>(stream_create, 12050)},
      {"cuCtxFromGreenCtx", entry<PFN_cuCtxFromGreenCtx_v12040>(context_of, 12040)},
      {"cuCtxPushCurrent", entry<PFN_cuCtxPushCurrent_v4000>(push, 4000)},
      {"cuCtxPopCurrent", entry<PFN_cuCtxPopCurrent_v4000>(pop, 4000)},
      {"cuEventCreate", entry<PFN_cuEventCreate_v2000>(event_create, 2000)},
  };
  return all;
}

}  // namespace tandem::cuda_test
