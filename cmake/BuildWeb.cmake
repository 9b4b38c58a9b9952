# Run by Web.cmake: npm's build of the web application, and OUTPUT, which has its files as a table of assets.
file(REMOVE_RECURSE ${BUILD}/src ${BUILD}/scripts ${BUILD}/tests ${BUILD}/e2e ${BUILD}/bench ${BUILD}/dist)
file(COPY ${WEB}/ DESTINATION ${BUILD} PATTERN node_modules EXCLUDE PATTERN dist EXCLUDE)

function(npm help)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env SAEMILL_OPENAPI=${OPENAPI} ${NPM} ${ARGN} WORKING_DIRECTORY ${BUILD}
                  RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message("${output}")
    message(FATAL_ERROR "npm ${command}: ${code}\n${help}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# What is installed is kept until the lock file changes.
file(SHA256 ${WEB}/package-lock.json wanted)
set(installed "")
if(EXISTS ${BUILD}/node_modules/.saemill)
  file(READ ${BUILD}/node_modules/.saemill installed)
endif()
if(NOT installed STREQUAL wanted)
  npm("npm could not install what the web application is built with. Where its registry cannot be reached, configure with -DSAEMILL_WEB=OFF: saemill then has a plain page."
      ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  file(WRITE ${BUILD}/node_modules/.saemill ${wanted})
endif()
npm("" run --silent build)
string(STRIP "${output}" output)
message(STATUS "${output}")

function(content_type file)
  set(.html text/html)
  set(.js text/javascript)
  set(.css text/css)
  set(.svg image/svg+xml)
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  if(NOT DEFINED ${extension})
    message(FATAL_ERROR "${file}: cmake/BuildWeb.cmake knows no content type of ${extension}")
  endif()
  set(type "${${extension}}; charset=utf-8" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE files RELATIVE ${BUILD}/dist ${BUILD}/dist/*)
set(bytes "")
set(declarations "")
set(rows "")
foreach(file ${files})
  content_type(${file})
  string(MAKE_C_IDENTIFIER "saemill_web_${file}" symbol)
  string(APPEND bytes
         "    \".global ${symbol}\\n${symbol}:\\n.incbin \\\"${BUILD}/dist/${file}\\\"\\n\"\n    \".global ${symbol}_end\\n${symbol}_end:\\n.byte 0\\n\"\n")
  string(APPEND declarations "extern \"C\" const char ${symbol}[], ${symbol}_end[];\n")
  set(paths "/${file}")
  if(file STREQUAL index.html)
    list(APPEND paths "/")
  endif()
  foreach(path ${paths})
    string(APPEND rows "      {\"${path}\", \"${type}\", {${symbol}, static_cast<size_t>(${symbol}_end - ${symbol})}},\n")
  endforeach()
endforeach()
file(WRITE ${OUTPUT} "#include \"${HEADER}\"

__asm__(
    \".pushsection .rodata\\n\"
${bytes}    \".popsection\\n\");
${declarations}
std::span<const saemill::api::Asset> saemill::api::page_assets() {
  static const Asset all[] = {
${rows}  };
  return all;
}
")
