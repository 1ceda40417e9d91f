//! Link arguments of the shared library. Nothing is generated here: the header
//! is committed, and tests/header.rs keeps it fresh.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/ffi/consts.rs");

    // Cargo gives a cdylib no SONAME of its own.
    link(&format!("-soname,libdtm.so.{}", abi_version()?));
    // Signal handlers and atfork hooks point into the library: it must stay mapped.
    link("-z,nodelete");
    // A missing symbol is an error now, not at the first call. A sanitizer's
    // symbols come from the program, so there they have to stay open.
    if std::env::var_os("CARGO_CFG_SANITIZE").is_none() {
        link("-z,defs");
    }
    Ok(())
}

fn link(argument: &str) {
    println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
}

/// DTM_ABI_VERSION has one source: the Rust constant that the header shows, too.
fn abi_version() -> Result<u32, Box<dyn Error>> {
    let root = std::env::var("CARGO_MANIFEST_DIR")?;
    let source = std::fs::read_to_string(Path::new(&root).join("src/ffi/consts.rs"))?;
    let number = source
        .lines()
        .find_map(|line| line.strip_prefix("pub const DTM_ABI_VERSION: u32 = "))
        .and_then(|rest| rest.strip_suffix(';'))
        .ok_or("src/ffi/consts.rs: no line 'pub const DTM_ABI_VERSION: u32 = N;'")?;
    Ok(number.parse()?)
}
