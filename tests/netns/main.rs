//! The laboratory of network namespaces: the debugging session, without a cluster.

mod laboratory;
mod session;
mod standin;

use std::sync::OnceLock;

use ldbg_testkit::Lab;

/// The laboratory that the tests of this executable share.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start().expect("the laboratory opens"))
}

/// Its name is how the laboratory starts its programs: each is this executable
/// again, with this test as its one test.
#[test]
fn this_executable_is_every_program_of_the_laboratory() {
    ldbg_testkit::become_program();
    let lab = lab();
    assert!(lab.cluster().pods.iter().all(|pod| lab.pod(&pod.name).path("/proc/self").exists()));
}
