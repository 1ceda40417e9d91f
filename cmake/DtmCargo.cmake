# dtm_cargo_library(NAME FEATURES): one cargo build becomes two imported
# libraries, NAME-shared and NAME-static, that look in the build tree as they
# will when installed: SONAME link included, archive with the API's symbols only.
# With DTM_BUILD_CTL the build of "dtm" makes bin/dtmctl, too.

find_program(DTM_CARGO cargo HINTS "$ENV{HOME}/.cargo/bin")
if(NOT DTM_CARGO)
    message(FATAL_ERROR "cargo was not found: install Rust 1.88 or newer, see https://rustup.rs")
endif()
find_program(DTM_LD NAMES ld.bfd ld REQUIRED)

# What `rustc --print native-static-libs` asks for; tests/symbols.sh compares.
set(DTM_STATIC_LIBS gcc_s util rt pthread m dl c)

# SQLite, for actions: the system's where pkg-config finds it, otherwise built in.
set(DTM_SQLITE_LIBS "")
set(DTM_SQLITE_ENV LIBSQLITE3_SYS_USE_PKG_CONFIG=0)
if(DTM_SYSTEM_SQLITE AND DTM_CARGO_FEATURES MATCHES "store-sqlite")
    find_package(PkgConfig QUIET)
    if(PKG_CONFIG_FOUND)
        # The oldest that knows ON CONFLICT DO UPDATE.
        pkg_check_modules(DTM_SQLITE QUIET sqlite3>=3.24)
    endif()
    if(DTM_SQLITE_FOUND)
        set(DTM_SQLITE_LIBS sqlite3)
        set(DTM_SQLITE_ENV LIBSQLITE3_SYS_USE_PKG_CONFIG=1)
    endif()
endif()
set(DTM_LINK_LIBS ${DTM_SQLITE_LIBS} ${DTM_STATIC_LIBS})
if(DTM_SQLITE_LIBS)
    message(STATUS "libdtm: SQLite ${DTM_SQLITE_VERSION} of the system")
elseif(DTM_CARGO_FEATURES MATCHES "store-sqlite")
    message(STATUS "libdtm: SQLite built in")
endif()

set(DTM_RUST_FLAGS "$ENV{RUSTFLAGS}")
set(DTM_RUST_TARGET "")
set(DTM_RUST_ENV "")
set(DTM_SANITIZE_FLAGS "")
if(DTM_SANITIZE)
    set(DTM_SANITIZE_FLAGS
        -fsanitize=${DTM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    if(DTM_SANITIZE MATCHES "address")
        # Without --target, cargo would instrument build scripts as well.
        set(DTM_RUST_TARGET ${CMAKE_SYSTEM_PROCESSOR}-unknown-linux-gnu)
        set(DTM_RUST_ENV RUSTC_BOOTSTRAP=1)
        string(APPEND DTM_RUST_FLAGS " -Zsanitizer=address")
    endif()
endif()
if(DTM_RUST_FLAGS)
    list(APPEND DTM_RUST_ENV "RUSTFLAGS=${DTM_RUST_FLAGS}")
endif()

function(dtm_cargo_library name features)
    set(cargo_dir "${DTM_CARGO_TARGET_DIR}")
    set(out_dir "${dtm_BINARY_DIR}/lib")
    if(NOT name STREQUAL "dtm")
        # Cargo gives a cdylib one place per target directory, whatever its features.
        string(APPEND cargo_dir "-${name}")
        string(APPEND out_dir "-${name}")
    endif()
    set(built "${cargo_dir}")
    set(target_args "")
    if(DTM_RUST_TARGET)
        string(APPEND built "/${DTM_RUST_TARGET}")
        set(target_args --target ${DTM_RUST_TARGET})
    endif()
    set(profile_dir ${DTM_CARGO_PROFILE})
    if(profile_dir STREQUAL "dev")
        set(profile_dir debug)
    endif()
    string(APPEND built "/${profile_dir}")

    set(soname libdtm.so.${DTM_ABI})
    set(so ${soname}.${PROJECT_VERSION_MINOR}.${PROJECT_VERSION_PATCH})
    set(symbols "${dtm_SOURCE_DIR}/cmake/libdtm.symbols")
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dtm_SOURCE_DIR}/src/*.rs")
    file(MAKE_DIRECTORY "${out_dir}")

    set(products "${out_dir}/${so}" "${out_dir}/libdtm.a")
    set(ctl_args "")
    set(ctl_copy "")
    if(name STREQUAL "dtm" AND DTM_BUILD_CTL)
        set(ctl_args --bin dtmctl)
        set(ctl_copy COMMAND ${CMAKE_COMMAND} -E copy "${built}/dtmctl" "${dtm_BINARY_DIR}/bin/dtmctl")
        list(APPEND products "${dtm_BINARY_DIR}/bin/dtmctl")
        file(MAKE_DIRECTORY "${dtm_BINARY_DIR}/bin")
    endif()
    add_custom_command(
        OUTPUT ${products}
        # Cargo must not mistake make's job server for its own.
        COMMAND ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MFLAGS ${DTM_RUST_ENV} ${DTM_SQLITE_ENV}
                "${DTM_CARGO}" build --lib ${ctl_args} --locked --profile ${DTM_CARGO_PROFILE}
                --no-default-features --features "${features}"
                --target-dir "${cargo_dir}" ${target_args}
        COMMAND ${CMAKE_COMMAND} -E copy "${built}/libdtm.so" "${out_dir}/${so}"
        COMMAND ${CMAKE_COMMAND} -E create_symlink ${so} "${out_dir}/${soname}"
        COMMAND ${CMAKE_COMMAND} -E create_symlink ${soname} "${out_dir}/libdtm.so"
        COMMAND ${CMAKE_COMMAND} "-DIN=${built}/libdtm.a" "-DOUT=${out_dir}/libdtm.a"
                "-DSYMBOLS=${symbols}" "-DLD=${DTM_LD}" "-DOBJCOPY=${CMAKE_OBJCOPY}"
                "-DAR=${CMAKE_AR}" -P "${dtm_SOURCE_DIR}/cmake/LocalizeArchive.cmake"
        ${ctl_copy}
        DEPENDS ${sources} "${symbols}" "${dtm_SOURCE_DIR}/cmake/LocalizeArchive.cmake"
                "${dtm_SOURCE_DIR}/Cargo.toml" "${dtm_SOURCE_DIR}/Cargo.lock"
                "${dtm_SOURCE_DIR}/build.rs"
        WORKING_DIRECTORY "${dtm_SOURCE_DIR}"
        COMMENT "cargo build --profile ${DTM_CARGO_PROFILE} --features ${features}"
        USES_TERMINAL VERBATIM)
    add_custom_target(${name}-cargo ALL DEPENDS ${products})

    add_library(${name}-shared SHARED IMPORTED GLOBAL)
    set_target_properties(${name}-shared PROPERTIES
        IMPORTED_LOCATION "${out_dir}/${so}"
        IMPORTED_SONAME ${soname})
    add_library(${name}-static STATIC IMPORTED GLOBAL)
    set_target_properties(${name}-static PROPERTIES
        IMPORTED_LOCATION "${out_dir}/libdtm.a"
        INTERFACE_LINK_LIBRARIES "${DTM_LINK_LIBS}")
    foreach(library ${name}-shared ${name}-static)
        target_include_directories(${library} INTERFACE "${dtm_SOURCE_DIR}/include")
        target_compile_options(${library} INTERFACE ${DTM_SANITIZE_FLAGS})
        target_link_options(${library} INTERFACE ${DTM_SANITIZE_FLAGS})
        add_dependencies(${library} ${name}-cargo)
    endforeach()
endfunction()
