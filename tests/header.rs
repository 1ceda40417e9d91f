//! `include/dtm.h` is generated from `src/ffi/` and committed: this test fails
//! when it is stale, `DTM_BLESS=1 cargo test --test header` renews it.

#![allow(clippy::unwrap_used)] // clippy knows only functions marked #[test] as tests

use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn generate() -> String {
    let root = Path::new(ROOT);
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let prologue = std::fs::read_to_string(root.join("src/ffi/prologue.h")).unwrap();
    let epilogue = std::fs::read_to_string(root.join("src/ffi/epilogue.h")).unwrap();
    let macros = std::fs::read_to_string(root.join("src/ffi/macros.h")).unwrap();
    let version = format!(
        "\n/* The version of this header; dtm_version() is the library's. */\n\
         #define DTM_VERSION \"{}\"\n#define DTM_VERSION_NUMBER {}\n",
        env!("CARGO_PKG_VERSION"),
        version_number(),
    );
    config.header = Some(prologue);
    config.after_includes = Some(format!("{version}\n{macros}"));
    config.trailer = Some(epilogue);
    let mut out = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/ffi/mod.rs"))
        .generate()
        .unwrap()
        .write(&mut out);
    String::from_utf8(out).unwrap()
}

/// 0x00MMmmpp
fn version_number() -> String {
    let part = |s: &str| s.parse::<u32>().unwrap();
    format!(
        "0x{:06x}",
        part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
            | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
            | part(env!("CARGO_PKG_VERSION_PATCH"))
    )
}

#[test]
fn header_is_fresh() {
    let path = Path::new(ROOT).join("include/dtm.h");
    let fresh = generate();
    if std::env::var_os("DTM_BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        fresh == committed,
        "include/dtm.h is stale: run  DTM_BLESS=1 cargo test --test header"
    );
}

/// Every function says who may call it, from where, and who owns what.
#[test]
fn every_function_has_its_five_lines() {
    let header = generate();
    let mut seen = 0;
    for (at, _) in header.match_indices("\nDTM_API") {
        let comment = header[..at].rsplit_once("/**").map(|(_, c)| c).unwrap();
        let lines: Vec<&str> = comment
            .lines()
            .map(|l| l.trim().trim_start_matches("* "))
            .collect();
        let last: Vec<&str> = lines
            .iter()
            .rev()
            .filter(|l| !l.is_empty() && **l != "*/")
            .take(5)
            .copied()
            .collect();
        let name = header[at + 1..].lines().next().unwrap();
        for (line, key) in last
            .iter()
            .rev()
            .zip(["Process:", "Thread:", "Signal:", "Fork:", "Owns:"])
        {
            assert!(
                line.starts_with(key),
                "{name}: expected a line '{key} ...', found '{line}'"
            );
        }
        seen += 1;
    }
    assert!(seen > 50, "only {seen} functions found");
}
