# TANDEM_STATIC: programs that run where nothing of this machine is installed, as far as the libraries have an archive here.
# libc stays shared, and so do libudev, which hwloc calls, and prometheus-cpp with the C++ library it was built with; bench/gpu
# takes those along.

if(TANDEM_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
  set(OPENSSL_USE_STATIC_LIBS ON)
  set(Boost_USE_STATIC_LIBS ON)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libgomp.a
    OUTPUT_VARIABLE OpenMP_gomp_LIBRARY OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(OpenMP_gomp_LIBRARY ${OpenMP_gomp_LIBRARY} CACHE FILEPATH "GCC's OpenMP library" FORCE)
  set(CMAKE_BUILD_RPATH "\$ORIGIN/lib;\$ORIGIN/../lib")
  set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
endif()

# tandem_stand_alone(TARGET): the C++ library becomes part of TARGET, with TANDEM_STATIC and if all that it links allows it.
function(tandem_stand_alone target)
  if(TANDEM_STATIC)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()

# tandem_pkg_config(PREFIX NAME ARCHIVES...): the library that pkg-config calls NAME as PkgConfig::PREFIX, and with it the
# ARCHIVES that its own archive needs.
function(tandem_pkg_config prefix name)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET GLOBAL ${name})
  if(TANDEM_STATIC)
    set_property(TARGET PkgConfig::${prefix} APPEND PROPERTY INTERFACE_LINK_LIBRARIES ${ARGN})
  endif()
endfunction()

tandem_pkg_config(HWLOC hwloc -l:libudev.so.1)
tandem_pkg_config(LIBEDIT libedit -l:libtinfo.a -l:libbsd.a -l:libmd.a)

find_package(spdlog REQUIRED)
add_library(tandem_spdlog INTERFACE)
if(TANDEM_STATIC)
  target_compile_definitions(tandem_spdlog INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
else()
  target_link_libraries(tandem_spdlog INTERFACE spdlog::spdlog)
endif()
