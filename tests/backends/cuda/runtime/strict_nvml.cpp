// The driver's management library of strict_cuda.h, as libnvidia-ml.so.1.

#include <cstdint>

extern "C" {

std::uint64_t strict_cuda_free_bytes();  // of the program that opens it

struct Memory {
  unsigned long long total, free, used;
};

int nvmlInit_v2() {
  return 0;
}
int nvmlShutdown() {
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  *device = nullptr;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  memory->free = strict_cuda_free_bytes();
  return 0;
}

}  // extern "C"
