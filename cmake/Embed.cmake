# A file's bytes inside the program, as a std::string_view.
#
#   saemill_embed(TARGET control_api FILE openapi.json HEADER control/api/openapi.h FUNCTION saemill::api::openapi_json)
function(saemill_embed)
  cmake_parse_arguments(arg "" "TARGET;FILE;HEADER;FUNCTION" "" ${ARGN})
  cmake_path(ABSOLUTE_PATH arg_FILE BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE file)
  string(MAKE_C_IDENTIFIER "saemill_embedded_${arg_FILE}" symbol)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
#include "@arg_HEADER@"

__asm__(
    ".pushsection .rodata\n.global @symbol@\n@symbol@:\n.incbin \"@file@\"\n.global @symbol@_end\n@symbol@_end:\n"
    ".byte 0\n.popsection\n");
extern "C" const char @symbol@[], @symbol@_end[];

std::string_view @arg_FUNCTION@() {
  return {@symbol@, static_cast<size_t>(@symbol@_end - @symbol@)};
}
]])
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${arg_TARGET} PRIVATE ${source})
endfunction()
