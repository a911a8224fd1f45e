# Targets of Tandem share one set of rules: warnings are errors, includes start at the repository root,
# floating point is exactly what the source says (no contraction), so that results are reproducible.  -Wshadow is GCC's only:
# Clang's also means what sources that are compiled together have each for themselves.

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH TANDEM_ROOT)

# Whose instructions sources with this suffix know.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(TANDEM_ARCHITECTURE x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(TANDEM_ARCHITECTURE arm)
else()
  set(TANDEM_ARCHITECTURE other)
endif()

add_library(tandem_options INTERFACE)
target_include_directories(tandem_options INTERFACE ${TANDEM_ROOT})
target_compile_features(tandem_options INTERFACE cxx_std_20)
target_compile_options(tandem_options INTERFACE -Wall -Wextra -Werror $<$<CXX_COMPILER_ID:GNU>:-Wshadow> -Wnon-virtual-dtor
  -fno-math-errno -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies inside its own std::string (GCC bug 105651).
  target_compile_options(tandem_options INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # Collecting garbage at 400 MB instead of at 30: a twentieth of the time.
  target_compile_options(tandem_options INTERFACE --param=ggc-min-heapsize=400000)
endif()
if(TANDEM_SANITIZE)
  target_compile_options(tandem_options INTERFACE -fsanitize=${TANDEM_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(tandem_options INTERFACE -fsanitize=${TANDEM_SANITIZE})
  if(TANDEM_SANITIZE MATCHES undefined)
    target_compile_options(tandem_options INTERFACE -fno-sanitize-recover=all)
  endif()
endif()

# tandem_room(NAME SOURCES... [LINK LIBS...]): the static library of one room, tandem_NAME.
function(tandem_room name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(tandem_${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(tandem_${name} PUBLIC tandem_options ${ARG_LINK})
endfunction()

# tandem_test(NAME SOURCES... [LINK LIBS...] [LABELS L...] [TIMEOUT S] [COMPUTES]): one GoogleTest binary, one CTest entry.
# The labels `fast` (the default) and `slow` decide which suite runs it; COMPUTES is for one that needs an optimiser itself.
function(tandem_test name)
  cmake_parse_arguments(ARG "COMPUTES" "TIMEOUT" "LINK;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(TANDEM_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 10")
  endif()
  add_executable(test_${name} ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE tandem_options ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE TANDEM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    TANDEM_BINARY_DIR="${CMAKE_BINARY_DIR}")
  # What is tested is compiled as it is shipped, but for templates that both instantiate; this only drives it.
  if(ARG_COMPUTES)
    tandem_compile_fast(test_${name} tandem_computing_test_headers)
  else()
    tandem_compile_fast(test_${name} tandem_driving_test_headers)
  endif()
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# tandem_embed(TARGET NAME FILE): the text of FILE as `tandem::embedded::NAME`, a string_view, in "embedded/NAME.h".
function(tandem_embed target name file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} TANDEM_EMBEDDED_TEXT)
  set(TANDEM_EMBEDDED_NAME ${name})
  configure_file(${CMAKE_SOURCE_DIR}/cmake/embedded.h.in ${CMAKE_BINARY_DIR}/generated/embedded/${name}.h @ONLY)
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated)
endfunction()

# tandem_embed_folder(TARGET NAME FOLDER): every JSON file of FOLDER in `tandem::embedded::NAME`, an array of name and text, in
# "embedded/NAME.h".
function(tandem_embed_folder target name folder)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.json)
  list(LENGTH files TANDEM_EMBEDDED_COUNT)
  set(TANDEM_EMBEDDED_ROWS)
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(stem ${file} NAME_WE)
    file(READ ${file} text)
    string(APPEND TANDEM_EMBEDDED_ROWS "    {\"${stem}\", R\"embedded(${text})embedded\"},\n")
  endforeach()
  set(TANDEM_EMBEDDED_NAME ${name})
  set(TANDEM_EMBEDDED_FOLDER ${folder})
  configure_file(${CMAKE_SOURCE_DIR}/cmake/embedded_folder.h.in ${CMAKE_BINARY_DIR}/generated/embedded/${name}.h @ONLY)
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated)
endfunction()
