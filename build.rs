//! Link arguments of the shared library. Nothing is generated here: the header
//! is committed, and tests/header.rs keeps it fresh.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/ffi/consts.rs");

    // Cargo gives a cdylib no SONAME of its own.
    link(&format!("-soname,libdtm.so.{}", abi_version()));
    // Signal handlers and atfork hooks point into the library: it must stay mapped.
    link("-z,nodelete");
    // A missing symbol is an error now, not at the first call. A sanitizer's
    // symbols come from the program, so there they have to stay open.
    if std::env::var_os("CARGO_CFG_SANITIZE").is_none() {
        link("-z,defs");
    }
}

fn link(argument: &str) {
    println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
}

/// DTM_ABI_VERSION has one source: the Rust constant that the header shows, too.
fn abi_version() -> u32 {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let path = Path::new(&root).join("src/ffi/consts.rs");
    let source = std::fs::read_to_string(&path).expect("src/ffi/consts.rs");
    source
        .lines()
        .find_map(|line| line.strip_prefix("pub const DTM_ABI_VERSION: u32 = "))
        .and_then(|rest| rest.trim_end_matches(';').parse().ok())
        .expect("src/ffi/consts.rs: no line 'pub const DTM_ABI_VERSION: u32 = N;'")
}
