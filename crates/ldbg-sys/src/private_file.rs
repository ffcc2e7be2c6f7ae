//! A small file that belongs to this user alone, in a directory that others may
//! write to (mode 1777, like `/tmp`).

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use crate::{effective_uid, fill_random};

/// Writes `bytes` to `path` with mode 0600, whole or not at all: to a new file
/// beside it (`O_EXCL`, `O_NOFOLLOW`), which then takes its name. What was there
/// before is replaced; a symlink is replaced, never followed.
///
/// # Errors
/// `PermissionDenied` where another user's file holds the name; otherwise what
/// open(2), write(2) or rename(2) say.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.uid() != effective_uid() => return Err(not_ours(there.uid())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut suffix = [0; 8];
    fill_random(&mut suffix)?;
    let mut beside = OsString::from(path);
    beside.push(format!(".{:016x}", u64::from_ne_bytes(suffix)));
    let beside = Path::new(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(beside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(beside, path));
    if written.is_err() {
        // The first error is the one to report; a leftover is only untidy.
        let _ = fs::remove_file(beside);
    }
    written
}

/// Reads a file that [`write_private`] wrote, at most `limit` bytes of it.
///
/// # Errors
/// `PermissionDenied` for a file of another user or one that others may read or
/// write, `InvalidData` for what is no regular file or is longer than `limit`;
/// otherwise what open(2) (`ELOOP` for a symlink) and read(2) say.
pub fn read_private(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: opening a FIFO that somebody put there must not hang.
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file"));
    }
    if metadata.uid() != effective_uid() {
        return Err(not_ours(metadata.uid()));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("its mode is {mode:04o}, which lets other users at it"),
        ));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

fn not_ours(owner: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it belongs to uid {owner}, and this is uid {}", effective_uid()),
    )
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        os::unix::fs::{PermissionsExt, symlink},
        path::PathBuf,
    };

    use super::{read_private, write_private};

    /// A new directory, removed at the end of the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ldbg-private-{}-{test}", std::process::id()));
            fs::create_dir(&path).expect("a new directory");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let scratch = Scratch::new("roundtrip");
        let path = scratch.0.join("secret");
        write_private(&path, b"one").expect("written");
        write_private(&path, b"two").expect("replaced");
        assert_eq!(read_private(&path, 3).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&scratch.0).expect("listed").count(), 1, "no file is left beside it");
    }

    #[test]
    fn a_symlink_is_replaced_by_the_writer_and_refused_by_the_reader() {
        let scratch = Scratch::new("symlink");
        let (victim, path) = (scratch.0.join("victim"), scratch.0.join("secret"));
        fs::write(&victim, "precious").expect("victim");
        symlink(&victim, &path).expect("symlink");
        assert!(read_private(&path, 64).is_err());
        write_private(&path, b"new").expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("victim"), "precious");
        assert_eq!(read_private(&path, 64).expect("read"), b"new");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let scratch = Scratch::new("mode");
        let path = scratch.0.join("secret");
        fs::write(&path, "x").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = read_private(&path, 64).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "its mode is 0640, which lets other users at it");
    }

    #[test]
    fn neither_a_fifo_nor_a_long_file_holds_the_reader_up() {
        let scratch = Scratch::new("fifo");
        let path = scratch.0.join("secret");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("mkfifo");
        assert_eq!(read_private(&path, 64).expect_err("refused").kind(), ErrorKind::InvalidData);
        fs::remove_file(&path).expect("removed");
        write_private(&path, &[b'x'; 65]).expect("written");
        assert_eq!(read_private(&path, 64).expect_err("refused").kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let scratch = Scratch::new("failed");
        let path = scratch.0.join("secret");
        fs::create_dir(&path).expect("a directory holds the name");
        assert!(write_private(&path, b"x").is_err());
        assert_eq!(fs::read_dir(&scratch.0).expect("listed").count(), 1);
    }
}
