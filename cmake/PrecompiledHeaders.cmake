# Headers that many sources share and few change are parsed once.  This only saves time: each source still includes what
# it uses, and with a compiler launcher, such as ccache, or CMAKE_DISABLE_PRECOMPILE_HEADERS nothing is precompiled.
# Only for what is compiled with -O1: the more GCC 12 optimises, the more it warns about its own, precompiled, std::string.

if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()

set(TANDEM_STANDARD_HEADERS <algorithm> <array> <charconv> <chrono> <filesystem> <fstream> <functional> <iostream>
  <limits> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map>
  <utility> <variant> <vector>)

# tandem_precompile(NAME LIBS... HEADERS H...): a target that holds the precompiled headers; tandem_compile_fast takes it.
function(tandem_precompile name)
  cmake_parse_arguments(ARG "" "" "HEADERS" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/empty.cpp CONTENT "")  # the target needs a source
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/generated/empty.cpp)
  target_compile_options(${name} PRIVATE -O1)
  target_link_libraries(${name} PRIVATE tandem_options ${ARG_UNPARSED_ARGUMENTS})
  target_precompile_headers(${name} PRIVATE ${TANDEM_STANDARD_HEADERS} ${ARG_HEADERS})
endfunction()

# tandem_compile_fast(TARGET NAME): TARGET computes little, so it is compiled with -O1 and the headers of NAME.
function(tandem_compile_fast target name)
  target_compile_options(${target} PRIVATE -O1)
  target_precompile_headers(${target} REUSE_FROM ${name})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overflow -Wno-error=stringop-overread
      -Wno-error=maybe-uninitialized)
  endif()
endfunction()
