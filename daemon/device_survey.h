#pragma once

#include "daemon/config.h"

namespace tandem::daemon {

/// Prints what this machine has to compute with, as this build would use it: cores and whether threads can be
/// bound to them, the kernels chosen for the processor, RAM, GPUs or why there are none, and the profile that
/// plans count with.  One JSON object (what tandem devices shows).
void print_devices(const Config& config);

}  // namespace tandem::daemon
