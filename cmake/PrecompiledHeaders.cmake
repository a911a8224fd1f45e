# Headers that many sources share and few change are parsed once.  This only saves time: each source still includes what
# it uses, and with a compiler launcher, such as ccache, or CMAKE_DISABLE_PRECOMPILE_HEADERS nothing is precompiled.
# CLI11 is only for those who use it: its inline functions are compiled again in every source that sees its header, 2 seconds each.
# Only for what is compiled with -O1 or less: the more GCC 12 optimises, the more it warns about its own, precompiled, std::string.

if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()

set(TANDEM_STANDARD_HEADERS <algorithm> <array> <charconv> <chrono> <filesystem> <fstream> <functional> <iostream>
  <limits> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map>
  <utility> <variant> <vector>)

# tandem_precompile(NAME LIBS... LEVEL -On HEADERS H...): a target that holds headers precompiled for what is optimised with -On;
# tandem_compile_fast takes it.
function(tandem_precompile name)
  cmake_parse_arguments(ARG "" "LEVEL" "HEADERS" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/empty.cpp CONTENT "")  # the target needs a source
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/empty.cpp)
  set_target_properties(${name} PROPERTIES TANDEM_LEVEL ${ARG_LEVEL})
  target_compile_options(${name} PRIVATE ${ARG_LEVEL})
  target_link_libraries(${name} PRIVATE tandem_options ${ARG_UNPARSED_ARGUMENTS})
  target_precompile_headers(${name} PRIVATE ${TANDEM_STANDARD_HEADERS} ${ARG_HEADERS})
endfunction()

# tandem_compile_fast(TARGET NAME): TARGET computes little, so it is compiled with the headers of NAME and optimised as they are.
function(tandem_compile_fast target name)
  get_target_property(level ${name} TANDEM_LEVEL)
  target_compile_options(${target} PRIVATE ${level})
  target_precompile_headers(${target} REUSE_FROM ${name})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overflow -Wno-error=stringop-overread
      -Wno-error=maybe-uninitialized)
  endif()
endfunction()

# tandem_group(TARGET N [TOGETHER SOURCES...]): N sources of TARGET are compiled together, so that what they include and instantiate
# is so once; those named TOGETHER among themselves.  Names in their anonymous namespaces must differ then; not with sanitizers,
# whose reports are clearer of single sources.
function(tandem_group target count)
  if(NOT TANDEM_GROUP OR TANDEM_SANITIZE)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "TOGETHER" ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # a source that is included is no header
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX TARGET_OBJECTS)
  if(ARG_TOGETHER)
    list(REMOVE_ITEM sources ${ARG_TOGETHER})
    set_source_files_properties(${ARG_TOGETHER} PROPERTIES UNITY_GROUP together)
  endif()
  set(index 0)
  foreach(source IN LISTS sources)
    math(EXPR part "${index} / ${count}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP part${part})
    math(EXPR index "${index} + 1")
  endforeach()
endfunction()

# tandem_text_part(TARGET SOURCES...): sources of a room that otherwise computes which read and write JSON and text; they become
# part of TARGET, compiled fast.
function(tandem_text_part target)
  add_library(${target}_text OBJECT ${ARGN})
  target_link_libraries(${target}_text PRIVATE $<TARGET_PROPERTY:${target},LINK_LIBRARIES>)
  target_include_directories(${target}_text PRIVATE ${CMAKE_BINARY_DIR}/generated)
  tandem_compile_fast(${target}_text tandem_json_headers)
  tandem_group(${target}_text 8)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_text>)
  set_target_properties(${target} PROPERTIES TANDEM_TEXT_SOURCES "${ARGN}")
endfunction()
