# Tests of the real programs, written with Debian's Python: each class of a file is a test of its own.
find_program(DEBIAN_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

#   saemill_python_test(serve rest_test.py Devices CpuSlots TIMEOUT 60): serve.rest.Devices and serve.rest.CpuSlots; their names go to PYTHON_TESTS
function(saemill_python_test area file)
  cmake_parse_arguments(arg "" "TIMEOUT" "" ${ARGN})
  string(REPLACE "_test.py" "" part ${file})
  list(TRANSFORM arg_UNPARSED_ARGUMENTS PREPEND ${area}.${part}. OUTPUT_VARIABLE names)
  foreach(class name IN ZIP_LISTS arg_UNPARSED_ARGUMENTS names)
    add_test(NAME ${name} COMMAND ${DEBIAN_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${class})
    set_tests_properties(${name} PROPERTIES LABELS e2e TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
    set_property(TEST ${name} PROPERTY ENVIRONMENT SAEMILL=$<TARGET_FILE:saemill> SAEMILL_FAKE_WORKER=$<TARGET_FILE:fake_worker>
                 SAEMILL_FAKE_NVML=$<TARGET_FILE_DIR:nvidia-ml> SAEMILL_SOURCE=${PROJECT_SOURCE_DIR}
                 SAEMILL_PICTURES=${CMAKE_CURRENT_BINARY_DIR} PYTHONDONTWRITEBYTECODE=1)
  endforeach()
  set(PYTHON_TESTS ${PYTHON_TESTS} ${names} PARENT_SCOPE)
endfunction()
