//! Another Rust static library in the same program. It catches a panic of its
//! own, which fails when the two libraries' unwinding tables get mixed up.

/// 1 when a panic was caught.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches_a_panic() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| panic!("on purpose")).is_err().into()
}
