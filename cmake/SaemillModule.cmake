# One folder is one library and one test program.
#
#   saemill_module(NAME common_base SOURCES a.cpp b.cpp TESTS a_test.cpp DEPS common_x fmt::fmt)
#
# DEPS are all that the folder may use: a symbol of another folder does not link.
include(GoogleTest)

set(SAEMILL_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)

function(saemill_target_options target)
  target_compile_options(${target} PRIVATE ${SAEMILL_WARNINGS})
  if(SAEMILL_SANITIZE)
    # The check of vtables needs type information that SOCI does not export.
    target_compile_options(${target} PRIVATE -fsanitize=${SAEMILL_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${SAEMILL_SANITIZE})
  endif()
endfunction()

function(saemill_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  # One label: gtest_discover_tests loses a second one.
  if(NOT arg_LABELS)
    set(arg_LABELS ${name})
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE SAEMILL_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             SAEMILL_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  saemill_target_options(${name})
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS ${arg_LABELS})
endfunction()

function(saemill_module)
  cmake_parse_arguments(arg "" "NAME;TIMEOUT" "SOURCES;TESTS;DEPS;TEST_DEPS" ${ARGN})
  add_library(${arg_NAME} STATIC ${arg_SOURCES})
  target_include_directories(${arg_NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${arg_NAME} PUBLIC ${arg_DEPS})
  saemill_target_options(${arg_NAME})
  if(arg_TESTS)
    saemill_test(${arg_NAME}_test SOURCES ${arg_TESTS} DEPS ${arg_NAME} ${arg_TEST_DEPS} TIMEOUT ${arg_TIMEOUT})
  endif()
endfunction()
