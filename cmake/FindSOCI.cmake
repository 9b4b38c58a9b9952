# SOCI with its SQLite and PostgreSQL backends, as the target soci::soci. Debian's packages have no CMake configuration.
include(FindPackageHandleStandardArgs)

find_path(SOCI_INCLUDE_DIR soci/soci.h)
find_path(SOCI_PostgreSQL_INCLUDE_DIR libpq-fe.h PATH_SUFFIXES postgresql)
find_path(SOCI_SQLite_INCLUDE_DIR sqlite3.h)
find_library(SOCI_CORE_LIBRARY soci_core)
find_library(SOCI_SQLITE3_LIBRARY soci_sqlite3)
find_library(SOCI_POSTGRESQL_LIBRARY soci_postgresql)
find_library(SOCI_PQ_LIBRARY pq)

find_package_handle_standard_args(SOCI
  REQUIRED_VARS SOCI_CORE_LIBRARY SOCI_SQLITE3_LIBRARY SOCI_POSTGRESQL_LIBRARY SOCI_PQ_LIBRARY SOCI_INCLUDE_DIR
                SOCI_PostgreSQL_INCLUDE_DIR SOCI_SQLite_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install libsoci-dev, libpq-dev and libsqlite3-dev")

if(SOCI_FOUND AND NOT TARGET soci::soci)
  add_library(soci::soci INTERFACE IMPORTED)
  # Debian's soci-config.h turns on conversions for Boost's types, and with them half of Boost's headers. They are
  # templates that nobody here uses: this stands in for that file.
  set_target_properties(soci::soci PROPERTIES
    INTERFACE_COMPILE_DEFINITIONS
      "SOCICONFIG_H_INCLUDED;SOCI_HAVE_CXX11;SOCI_HAVE_VISIBILITY_SUPPORT;SOCI_HAVE_POSTGRESQL;SOCI_HAVE_SQLITE3"
    # Of an imported target, so SYSTEM: our warnings are not for them.
    INTERFACE_INCLUDE_DIRECTORIES
      "${SOCI_INCLUDE_DIR};${SOCI_PostgreSQL_INCLUDE_DIR};${SOCI_SQLite_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES
      "${SOCI_SQLITE3_LIBRARY};${SOCI_POSTGRESQL_LIBRARY};${SOCI_CORE_LIBRARY};${SOCI_PQ_LIBRARY}")
endif()
mark_as_advanced(SOCI_INCLUDE_DIR SOCI_PostgreSQL_INCLUDE_DIR SOCI_SQLite_INCLUDE_DIR SOCI_CORE_LIBRARY
                 SOCI_SQLITE3_LIBRARY SOCI_POSTGRESQL_LIBRARY SOCI_PQ_LIBRARY)
