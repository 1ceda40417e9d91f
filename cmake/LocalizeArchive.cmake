# cmake -DIN= -DOUT= -DSYMBOLS= -DLD= -DOBJCOPY= -DAR= -P LocalizeArchive.cmake
#
# A Rust archive carries the whole standard library with global names; two of
# them in one program collide. This makes one object of it in which only the
# API's names are global.

file(STRINGS "${SYMBOLS}" api)
list(TRANSFORM api PREPEND "--undefined=" OUTPUT_VARIABLE roots)
set(object "${OUT}.o")

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
    if(code)
        message(FATAL_ERROR "failed: ${ARGN}")
    endif()
endfunction()

# --force-group-allocation: as long as DW.ref.rust_eh_personality is in a COMDAT
# group, the linker drops it for another Rust archive's, and panics abort.
run("${LD}" -r --gc-sections --force-group-allocation ${roots}
    --whole-archive "${IN}" -o "${object}")
# Bitcode sections, left over by LTO, upset ar and nm where LLVM's plugin is installed.
run("${OBJCOPY}" "--keep-global-symbols=${SYMBOLS}"
    --remove-section=.llvmbc --remove-section=.llvmcmd "${object}")
file(REMOVE "${OUT}")
run("${AR}" rcsD "${OUT}" "${object}")
file(REMOVE "${object}")
