//! Which processes hold which sockets: the `socket:[inode]` links of
//! `/proc/PID/fd` (proc(5)). A process of another user, or one with more
//! capabilities than we have, keeps them to itself.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketHolder {
    /// Its process id in our own PID namespace.
    pub pid: u32,
    /// The first word of its command line, a path without its directories; what
    /// is not UTF-8 is replaced, control characters by `?`.
    pub program: String,
}

/// The holders of all sockets we may know of.
#[derive(Debug, Default)]
pub struct SocketHolders {
    by_inode: HashMap<u64, SocketHolder>,
    /// Whether some process did not let us look: then a socket without a holder
    /// may well have one.
    pub some_hidden: bool,
}

impl SocketHolders {
    /// The process with the lowest id that holds the socket, if we may know it.
    pub fn of(&self, inode: u64) -> Option<&SocketHolder> {
        self.by_inode.get(&inode)
    }

    /// Whether not one holder was found.
    pub fn is_empty(&self) -> bool {
        self.by_inode.is_empty()
    }
}

/// Looks through every process of our PID namespace. A process that ends
/// meanwhile is left out.
///
/// # Errors
/// Where `/proc` itself cannot be listed.
pub fn socket_holders() -> io::Result<SocketHolders> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("list /proc: {error}"));
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").map_err(named)? {
        let name = entry.map_err(named)?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    // A socket may be shared after a fork; the parent is the better answer.
    pids.sort_unstable();
    let mut found = SocketHolders::default();
    for pid in pids {
        let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                found.some_hidden |= error.kind() == io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        let mut program = None;
        for descriptor in descriptors.map_while(Result::ok) {
            let Some(inode) = fs::read_link(descriptor.path())
                .ok()
                .and_then(|link| socket_inode(&link.into_os_string().into_vec()))
            else {
                continue;
            };
            let program = program.get_or_insert_with(|| program_of(pid));
            found.by_inode.entry(inode).or_insert_with(|| SocketHolder { pid, program: program.clone() });
        }
    }
    Ok(found)
}

/// `socket:[12345]`
fn socket_inode(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

fn program_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    program_name(&line)
}

/// The first word of a command line. Only a whole path loses its directories: a
/// process may write what it likes there (`nginx: worker process /etc/x`).
fn program_name(line: &[u8]) -> String {
    let word = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = match word {
        [b'/', ..] => word.rsplit(|&byte| byte == b'/').next().unwrap_or_default(),
        _ => word,
    };
    // It may be anybody's process, and this is read on a terminal.
    OsStr::from_bytes(name).to_string_lossy().replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn our_own_socket_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("open");
        let inode = socket_inode(link.as_os_str().as_bytes()).expect("a socket");
        let holders = socket_holders().expect("/proc is mounted");
        assert_eq!(holders.of(inode).map(|holder| holder.pid), Some(std::process::id()));
    }

    #[test]
    fn only_a_whole_path_loses_its_directories() {
        assert_eq!(program_name(b"/usr/bin/app\0--flag\0"), "app");
        assert_eq!(
            program_name(b"nginx: master process /usr/sbin/nginx\0"),
            "nginx: master process /usr/sbin/nginx"
        );
        assert_eq!(program_name(b""), "");
        assert_eq!(program_name(b"app\x1b[2J\n\xff\0"), "app?[2J?\u{fffd}");
    }

    #[test]
    fn other_links_are_not_sockets() {
        assert_eq!(socket_inode(b"socket:[12]"), Some(12));
        assert_eq!(socket_inode(b"pipe:[12]"), None);
        assert_eq!(socket_inode(b"/tmp/socket:[12]"), None);
        assert_eq!(socket_inode(b"socket:[-1]"), None);
    }
}
