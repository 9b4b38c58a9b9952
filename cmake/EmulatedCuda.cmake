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
