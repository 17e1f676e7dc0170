#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ssl_data::fuzzing::read_tar(bytes);
});
