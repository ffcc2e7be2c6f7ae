//! The proxy's sockets in the midst of a request.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, SystemTime},
};

use ldbg_model::{Observation, Observed, Privilege, Socket, SocketState, SocketTable, Stamp};
use ldbg_sys::{canonical, tcp_sockets};
use tokio::time::{Instant, sleep_until};

/// When to look, after the request began. A proxy that gets no answer tries for a
/// second, waits a little and tries again: one look may fall between two tries.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(900),
    Duration::from_millis(1700),
    Duration::from_millis(2700),
];

/// Waits for `request`, and looks at the sockets as long as it lasts.
pub(crate) async fn watched<T>(request: impl Future<Output = T>, uid: Option<u32>) -> (T, Vec<Observation>) {
    let mut request = pin!(request);
    let begun = Instant::now();
    let mut seen = Vec::new();
    for look in LOOKS {
        tokio::select! {
            answer = &mut request => return (answer, seen),
            () = sleep_until(begun + look) => seen.push(outgoing(uid)),
        }
    }
    (request.await, seen)
}

/// The connections that the proxy has, seeks or had with other hosts.
fn outgoing(uid: Option<u32>) -> Observation {
    let stamp = stamp("/proc/net/tcp, /proc/net/tcp6", Privilege::None);
    let seen = match tcp_sockets() {
        Ok(all) => Observed::Sockets(SocketTable {
            sockets: all
                .into_iter()
                .filter_map(socket)
                .filter(|one| one.state != SocketState::Listen && !one.peer.ip().is_loopback())
                // TIME_WAIT has no owner.
                .filter(|one| one.state == SocketState::TimeWait || Some(one.uid) == uid)
                .collect(),
        }),
        Err(error) => gap("sockets of the proxy", error.to_string()),
    };
    Observation { stamp, seen }
}

fn socket(one: ldbg_sys::Socket) -> Option<Socket> {
    use ldbg_sys::SocketState as From;
    let state = match one.state {
        From::Established => SocketState::Established,
        From::SynSent => SocketState::SynSent,
        From::SynReceived => SocketState::SynReceived,
        From::FinWait1 => SocketState::FinWait1,
        From::FinWait2 => SocketState::FinWait2,
        From::TimeWait => SocketState::TimeWait,
        From::Close => SocketState::Close,
        From::CloseWait => SocketState::CloseWait,
        From::LastAck => SocketState::LastAck,
        From::Listen => SocketState::Listen,
        From::Closing => SocketState::Closing,
        From::Other(_) => return None,
    };
    Some(Socket { state, local: canonical(one.local), peer: canonical(one.peer), uid: one.uid })
}

/// A source, now.
pub(crate) fn stamp(source: impl Into<String>, privilege: Privilege) -> Stamp {
    Stamp::new(source, SystemTime::now(), privilege)
}

/// Something that could not be looked at.
pub(crate) fn gap(what: impl Into<String>, because: impl Into<String>) -> Observed {
    Observed::Gap(ldbg_model::NotChecked { what: what.into(), because: because.into() })
}
