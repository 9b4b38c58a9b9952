# Whether this build has CUDA (SAEMILL_HAS_CUDA), and functions to compile and test .cu files. Included once, by the
# top CMakeLists.txt, because a language is enabled for the whole tree.
#
#   saemill_cuda_module(NAME engine_backend_cuda SOURCES a.cu b.cpp DEPS engine_gpu)
#   saemill_cuda_test(NAME backend_gpu_test SOURCES x_test.cpp DEPS engine_backend_cuda)
#
# SAEMILL_CUDA=OFF leaves CUDA out although a toolkit is there. CMAKE_CUDA_ARCHITECTURES: default 90.
option(SAEMILL_CUDA "Build for NVIDIA GPUs where CUDA's toolkit is found" ON)
set(SAEMILL_HAS_CUDA OFF)

if(SAEMILL_CUDA)
  find_package(CUDAToolkit 12.4 QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    if(NOT CMAKE_CUDA_COMPILER)
      set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
    endif()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 90)
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc knows C++20
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(SAEMILL_HAS_CUDA ON)
  endif()
endif()
if(NOT SAEMILL_HAS_CUDA)
  message(STATUS "CUDA is left out: no toolkit of 12.4 or later (or SAEMILL_CUDA is OFF)")
endif()

# saemill_target_options for a target with .cu files. nvcc passes warnings on to the host compiler, and fmt needs to
# be told that nvcc knows constexpr. -lineinfo lets compute-sanitizer and ncu name lines; the code stays the same, and
# compressed it is smaller than it was without either.
function(saemill_cuda_target_options target)
  list(REMOVE_ITEM SAEMILL_WARNINGS -Wpedantic)
  set(host_warnings ${SAEMILL_WARNINGS})
  if(CMAKE_COMPILE_WARNING_AS_ERROR)
    list(APPEND host_warnings -Werror)
  endif()
  list(JOIN host_warnings "," host_warnings)
  set(sanitize "")
  if(SAEMILL_SANITIZE)
    set(sanitize -fsanitize=${SAEMILL_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${sanitize}>")
    target_link_options(${target} PRIVATE -fsanitize=${SAEMILL_SANITIZE})
  endif()
  target_compile_options(${target} PRIVATE
                         "$<$<COMPILE_LANGUAGE:CXX>:${SAEMILL_WARNINGS};-Wpedantic>"
                         "$<$<COMPILE_LANGUAGE:CUDA>:-lineinfo;-Xfatbin=-compress-all;-Xcompiler=${host_warnings};--expt-relaxed-constexpr>")
  target_compile_definitions(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>")
endfunction()

function(saemill_cuda_module)
  cmake_parse_arguments(arg "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_library(${arg_NAME} STATIC ${arg_SOURCES})
  target_include_directories(${arg_NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${arg_NAME} PUBLIC ${arg_DEPS})
  saemill_cuda_target_options(${arg_NAME})
endfunction()

# A test that needs a GPU and is skipped, with the reason, where there is none: ctest -L '^gpu$'.
function(saemill_cuda_test)
  cmake_parse_arguments(arg "" "NAME;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${arg_NAME} PRIVATE SAEMILL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  saemill_cuda_target_options(${arg_NAME})
  gtest_discover_tests(${arg_NAME} TEST_PREFIX "gpu/" DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS gpu)
endfunction()
