//! Random bytes from the kernel.

#![expect(unsafe_code, reason = "getrandom(2) has no safe wrapper in nix")]

use std::io;

/// Fills `buffer` with bytes fit for keys (getrandom(2), flags 0).
///
/// # Errors
/// When the kernel has no such call (before Linux 3.17) or a sandbox forbids it.
pub fn fill_random(mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        // SAFETY: pointer and length are those of one live, writable slice, and
        // the kernel writes at most that many bytes.
        let written = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match usize::try_from(written) {
            Ok(written) => buffer = &mut buffer[written..],
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_is_filled_and_no_two_fills_are_alike() {
        let (mut first, mut second) = ([0; 64], [0; 64]);
        super::fill_random(&mut first).expect("getrandom");
        super::fill_random(&mut second).expect("getrandom");
        assert_ne!(first, second);
        // Sixteen zero bytes in a row come by chance once in 2^128.
        assert!(first.chunks(16).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    }
}
