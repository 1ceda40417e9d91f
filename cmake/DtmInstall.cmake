# Installs the header, both libraries, dtmctl, a CMake package and two pkg-config files.
# All of them find each other by relative paths, so a prefix can be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dtm)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH DTM_PC_INCLUDEDIR
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
list(TRANSFORM DTM_LINK_LIBS PREPEND -l OUTPUT_VARIABLE DTM_PC_STATIC_LIBS)
list(JOIN DTM_PC_STATIC_LIBS " " DTM_PC_STATIC_LIBS)

configure_package_config_file(cmake/dtmConfig.cmake.in "${dtm_BINARY_DIR}/dtmConfig.cmake"
    INSTALL_DESTINATION ${package_dir}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${dtm_BINARY_DIR}/dtmConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
configure_file(cmake/dtm.pc.in "${dtm_BINARY_DIR}/dtm.pc" @ONLY)
configure_file(cmake/dtm-static.pc.in "${dtm_BINARY_DIR}/dtm-static.pc" @ONLY)

get_target_property(so dtm-shared IMPORTED_LOCATION)
get_target_property(soname dtm-shared IMPORTED_SONAME)
get_target_property(archive dtm-static IMPORTED_LOCATION)
cmake_path(GET so PARENT_PATH lib_dir)

install(FILES include/dtm.h TYPE INCLUDE)
install(PROGRAMS "${so}" TYPE LIB)
install(FILES "${lib_dir}/${soname}" "${lib_dir}/libdtm.so" "${archive}" TYPE LIB)
install(FILES "${dtm_BINARY_DIR}/dtmConfig.cmake" "${dtm_BINARY_DIR}/dtmConfigVersion.cmake"
    DESTINATION ${package_dir})
install(FILES "${dtm_BINARY_DIR}/dtm.pc" "${dtm_BINARY_DIR}/dtm-static.pc"
    DESTINATION ${pkgconfig_dir})
if(DTM_BUILD_CTL)
    install(PROGRAMS "${dtm_BINARY_DIR}/bin/dtmctl" TYPE BIN)
endif()
install(FILES LICENSE LICENSE-MIT LICENSE-APACHE TYPE DOC)
