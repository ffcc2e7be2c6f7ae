//! A test binary of its own: `reap()` takes every child of the process, so no
//! other test may have one.

use std::process::{Command, Stdio};

use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

#[test]
#[expect(clippy::zombie_processes, reason = "the zombie is what is tested")]
fn an_ended_child_is_collected_and_a_running_one_is_not_waited_for() {
    let mut running = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat starts");
    let ended = Command::new("true").spawn().expect("true starts");
    let pid = Pid::from_raw(ended.id().cast_signed());
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("true ends");

    assert_eq!(ldbg_sys::reap(), 1);
    assert_eq!(ldbg_sys::reap(), 0);

    drop(running.stdin.take());
    running.wait().expect("cat ends");
}
