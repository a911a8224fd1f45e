# Looks for a CUDA toolkit and says in one line what it means for this build.  Sets TANDEM_CUDA if the sources for the
# GPU are to be compiled with it; the emulated device is there in any case.

set(TANDEM_CUDA_OLDEST 12.4)
set(TANDEM_CUDA OFF)
find_program(TANDEM_NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
mark_as_advanced(TANDEM_NVCC)

if(NOT TANDEM_NVCC)
  message(STATUS "Tandem: no CUDA toolkit found: CPU only")
  return()
endif()

execute_process(COMMAND ${TANDEM_NVCC} --version OUTPUT_VARIABLE nvcc_says RESULT_VARIABLE nvcc_failed ERROR_QUIET)
string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" ignored "${nvcc_says}")
set(TANDEM_CUDA_VERSION ${CMAKE_MATCH_1})
if(nvcc_failed OR NOT TANDEM_CUDA_VERSION)
  message(STATUS "Tandem: ${TANDEM_NVCC} does not tell its version: CPU only")
elseif(TANDEM_CUDA_VERSION VERSION_LESS TANDEM_CUDA_OLDEST)
  message(STATUS "Tandem: CUDA toolkit ${TANDEM_CUDA_VERSION} is refused, ${TANDEM_CUDA_OLDEST} is the oldest that will do: CPU only")
else()
  message(STATUS "Tandem: CUDA toolkit ${TANDEM_CUDA_VERSION} found; the GPU's part compiles with it but runs nothing yet: CPU only")
  set(TANDEM_CUDA ON)
endif()
