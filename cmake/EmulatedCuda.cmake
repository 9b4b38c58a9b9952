# Sources for CUDA, compiled as C++ for the emulation of tests/cuda_emulation.
#
#   saemill_emulated(NAME backend_cuda_emulated SOURCES backend.cu select.cu host.cpp DEPS engine_backend)
#
# The library links engine_gpu_emulated; nothing that it is linked with may link engine_gpu.
function(saemill_emulated)
  cmake_parse_arguments(arg "" "NAME" "SOURCES;DEPS" ${ARGN})
  set(sources "")
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    if(source MATCHES "\\.cu$")
      # The compiler knows C++ by the file's name.
      cmake_path(GET source FILENAME name)
      set(twin ${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}/${name}.cpp)
      file(CONFIGURE OUTPUT ${twin} CONTENT "#include \"${source}\"\n")
      set(source ${twin})
    endif()
    list(APPEND sources ${source})
  endforeach()
  add_library(${arg_NAME} STATIC ${sources})
  target_include_directories(${arg_NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${arg_NAME} PUBLIC engine_gpu_emulated ${arg_DEPS})
  saemill_target_options(${arg_NAME})
  # For "#pragma unroll".
  target_compile_options(${arg_NAME} PRIVATE -Wno-unknown-pragmas)
endfunction()

# A test of such a library, run with threads, blocks and streams in three orders.
#
#   saemill_emulated_test(NAME backend_emulated_test SOURCES x_test.cpp DEPS backend_cuda_emulated)
function(saemill_emulated_test)
  cmake_parse_arguments(arg "" "NAME;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS} engine_gpu_emulated GTest::gtest GTest::gtest_main)
  target_compile_definitions(${arg_NAME} PRIVATE SAEMILL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  saemill_target_options(${arg_NAME})
  # The names differ from those of the same tests on a GPU.
  foreach(order forward reverse shuffled:1)
    gtest_discover_tests(${arg_NAME} TEST_PREFIX "emulated-${order}/" DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS ${arg_NAME}
                         ENVIRONMENT SAEMILL_EMULATION_ORDER=${order})
  endforeach()
endfunction()

# Tests of an emulated program once more, with GEMMs that round operands of f32 to TF32 as a GPU does.
#
#   saemill_emulated_tf32(backend_conformance_emulated TIMEOUT 300 ROUNDINGS nearest truncate TESTS *F32*)
function(saemill_emulated_tf32 name)
  cmake_parse_arguments(arg "" "TIMEOUT;TESTS" "ROUNDINGS" ${ARGN})
  foreach(rounding IN LISTS arg_ROUNDINGS)
    gtest_discover_tests(${name} TEST_FILTER "${arg_TESTS}" TEST_PREFIX "tf32-${rounding}/" DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS ${name} ENVIRONMENT SAEMILL_TWIN_TF32=${rounding})
  endforeach()
endfunction()
