# The web application, built by npm and linked into a library as the table of assets.h.
#
#   saemill_embed_web(TARGET control_api HEADER control/api/assets.h)
#
# npm works on a copy in the build folder, so that several of them share one source tree.
find_program(NPM npm)
set(web_default OFF)
if(NPM AND NOT SAEMILL_SANITIZE)
  set(web_default ON)
endif()
option(SAEMILL_WEB "Build the web application (needs npm and its registry)" ${web_default})
if(SAEMILL_WEB AND NOT NPM)
  message(FATAL_ERROR "SAEMILL_WEB is ON, but there is no npm. Install it (scripts/install-packages), or configure with -DSAEMILL_WEB=OFF.")
endif()

function(saemill_embed_web)
  cmake_parse_arguments(arg "" "TARGET;HEADER" "" ${ARGN})
  set(web ${PROJECT_SOURCE_DIR}/web)
  set(openapi ${PROJECT_SOURCE_DIR}/src/control/api/openapi.json)
  set(build ${CMAKE_BINARY_DIR}/web)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/web_assets.cpp)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${web}/src/* ${web}/scripts/* ${web}/tests/* ${web}/e2e/* ${web}/bench/*)
  list(FILTER files EXCLUDE REGEX "/src/api/schema\\.ts$")
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -D NPM=${NPM} -D WEB=${web} -D OPENAPI=${openapi} -D BUILD=${build} -D HEADER=${arg_HEADER}
            -D OUTPUT=${source} -P ${PROJECT_SOURCE_DIR}/cmake/BuildWeb.cmake
    DEPENDS ${files} ${web}/package.json ${web}/package-lock.json ${web}/index.html ${web}/tsconfig.json ${web}/vite.config.ts
            ${web}/playwright.config.ts ${openapi} ${PROJECT_SOURCE_DIR}/cmake/BuildWeb.cmake
    COMMENT "Building the web application"
    VERBATIM)
  target_sources(${arg_TARGET} PRIVATE ${source})
  foreach(part check test)
    add_test(NAME web.${part} COMMAND ${NPM} run --silent ${part} WORKING_DIRECTORY ${build})
    set_tests_properties(web.${part} PROPERTIES LABELS web TIMEOUT 300 ENVIRONMENT "SAEMILL_OPENAPI=${openapi}")
  endforeach()
endfunction()

# The page in a browser against the real server: a test for each file of web/e2e. Its pictures are left in the build folder.
function(saemill_page_tests)
  file(GLOB specs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/e2e/*.spec.ts)
  find_program(CHROMIUM chromium)
  foreach(spec ${specs})
    cmake_path(GET spec STEM part)
    set(name web.e2e.${part})
    if(CHROMIUM)
      add_test(NAME ${name} COMMAND ${NPM} run --silent e2e -- e2e/${part}.spec.ts WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/web)
    else()
      add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -E echo "skipped: chromium is not installed (scripts/install-packages --tests)")
    endif()
    # Real ranks on CPU slots are seen by every server of the machine.
    set_tests_properties(${name} PROPERTIES LABELS e2e TIMEOUT 600 SKIP_REGULAR_EXPRESSION "^skipped:" RESOURCE_LOCK cpu_slots)
    set_property(TEST ${name} PROPERTY ENVIRONMENT CHROMIUM=${CHROMIUM} SAEMILL=$<TARGET_FILE:saemill>
                 SAEMILL_FAKE_WORKER=$<TARGET_FILE:fake_worker> SAEMILL_FAKE_NVML=$<TARGET_FILE_DIR:nvidia-ml>
                 SAEMILL_SOURCE=${PROJECT_SOURCE_DIR} SAEMILL_PICTURES=${CMAKE_BINARY_DIR}/web/pictures)
  endforeach()
endfunction()
