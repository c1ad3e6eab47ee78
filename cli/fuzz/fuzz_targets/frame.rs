//! The frame of an item: what is read is what was written, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seal::wire;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = wire::unframe(bytes) {
        assert_eq!(wire::frame(frame.wrapped_key, frame.payload).as_deref(), Ok(bytes));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = wire::decode(text);
        let marks = seal::marks::Marks::read(text);
        assert_eq!(seal::marks::Marks::read(&marks.to_string()), marks);
    }
});
