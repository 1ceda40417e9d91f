#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| dtm_fuzz::gateway::check(data));
