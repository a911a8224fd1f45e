# Looks for a CUDA toolkit and says in one line what it means for this build.  Sets TANDEM_CUDA if the sources for the
# GPU are to be compiled with it; the emulated device is there in any case.

set(TANDEM_CUDA_OLDEST 12.5)  # what green_context.cpp asks of it
set(TANDEM_CUDA OFF)
find_program(TANDEM_NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
mark_as_advanced(TANDEM_NVCC)

# tandem_without_gpu(WHY): the one line; a build that asked for GPUs ends with it.
function(tandem_without_gpu why)
  if(TANDEM_GPU)
    message(FATAL_ERROR "Tandem: ${why}, and TANDEM_GPU is ON")
  endif()
  message(STATUS "Tandem: ${why}: CPU only")
endfunction()

if(NOT TANDEM_NVCC)
  tandem_without_gpu("no CUDA toolkit found")
  return()
endif()

execute_process(COMMAND ${TANDEM_NVCC} --version OUTPUT_VARIABLE nvcc_says RESULT_VARIABLE nvcc_failed ERROR_QUIET)
string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" ignored "${nvcc_says}")
set(TANDEM_CUDA_VERSION ${CMAKE_MATCH_1})
if(nvcc_failed OR NOT TANDEM_CUDA_VERSION)
  tandem_without_gpu("${TANDEM_NVCC} does not tell its version")
elseif(TANDEM_CUDA_VERSION VERSION_LESS TANDEM_CUDA_OLDEST)
  tandem_without_gpu("CUDA toolkit ${TANDEM_CUDA_VERSION} is refused, ${TANDEM_CUDA_OLDEST} is the oldest that will do")
else()
  set(TANDEM_CUDA ON)
  set(TANDEM_CUDA_ARCHITECTURES 86 CACHE STRING "Compute capabilities to compile for")
  set(CMAKE_CUDA_COMPILER ${TANDEM_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES ${TANDEM_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  if(TANDEM_GPU)
    message(STATUS "Tandem: CUDA toolkit ${TANDEM_CUDA_VERSION} found: tandemd is built for GPUs")
  else()
    message(STATUS "Tandem: CUDA toolkit ${TANDEM_CUDA_VERSION} found, but TANDEM_GPU is OFF: CPU only")
  endif()
endif()
