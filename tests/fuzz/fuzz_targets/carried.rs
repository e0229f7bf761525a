#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runmesh_fuzz::carried(bytes));
