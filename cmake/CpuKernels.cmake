# Which kernel sets a processor's architecture has, and how each is compiled.

# tandem_cpu_kernels(TARGET NAME SYMBOL FLAGS...): adds one instruction set's kernels to TARGET.
function(tandem_cpu_kernels target name symbol)
  add_library(${target}_${symbol} OBJECT ${TANDEM_ROOT}/backends/cpu/kernels.cpp)
  target_link_libraries(${target}_${symbol} PRIVATE tandem_options)
  target_compile_definitions(${target}_${symbol} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>
    TANDEM_KERNEL_SET=${symbol} TANDEM_KERNEL_SET_NAME="${name}")
  # GCC 12 sees uninitialised values in its own AVX-512 header; Clang's tools do not know that warning.
  target_compile_options(${target}_${symbol} PRIVATE -O3 ${ARGN}
    -Wno-psabi -Wno-ignored-attributes -Wno-uninitialized -Wno-maybe-uninitialized
    -Wno-unknown-warning-option)
  if(TANDEM_SANITIZE)
    target_compile_options(${target}_${symbol} PRIVATE -O1)  # with -O3 GCC takes more than six minutes for a set
    # GCC 12 loses sight of a local array whose address it computes once although its scope is entered again, and
    # gives its place on the stack to another array that is in use (its bugs 90348 and 113372).  It happened in
    # loops that -O3 unrolls: with ThreadSanitizer, products of repacked weights were wrong.
    target_compile_options(${target}_${symbol} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fstack-reuse=none>)
  endif()
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${symbol}>)
endfunction()

# tandem_portable_kernels(TARGET FLAGS...): the set that any machine runs, though the compiler may know more of this one.
function(tandem_portable_kernels target)
  tandem_cpu_kernels(${target} portable kPortableKernels -DTANDEM_PORTABLE_KERNELS ${ARGN})
endfunction()

# tandem_cpu_kernel_sets(TARGET): all sets that backends/cpu/supported_sets_*.cpp may pick from.
function(tandem_cpu_kernel_sets target)
  tandem_portable_kernels(${target} -O2)
  if(TANDEM_ARCHITECTURE STREQUAL x86)
    # Machines with no more than SSE4.1 are old: -O2 compiles in little more than half the time.
    tandem_cpu_kernels(${target} sse41 kSse41Kernels -msse4.1 -O2)
    tandem_cpu_kernels(${target} avx2 kAvx2Kernels -mavx2 -mfma -mf16c)
    tandem_cpu_kernels(${target} avx-vnni kAvxVnniKernels -mavx2 -mfma -mf16c -mavxvnni)
    # With those of amx-int8, whose tile instructions are assembly.
    tandem_cpu_kernels(${target} avx512-vnni kAvx512VnniKernels
      -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
  elseif(TANDEM_ARCHITECTURE STREQUAL arm)
    # GCC's scheduler brings so many loads forward that sums leave the registers: of Q4_0 times four rows, 534
    # instructions instead of 313 for 32 columns of sixteen rows.
    set(in_order $<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>)
    tandem_cpu_kernels(${target} neon kNeonKernels ${in_order})
    tandem_cpu_kernels(${target} neon-dot kNeonDotKernels -march=armv8.2-a+dotprod ${in_order})
  endif()
endfunction()
