//! The laboratory itself, seen with Debian's tools.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use ldbg_testkit::Lab;

use crate::lab;

#[test]
fn the_application_answers_a_client_outside_the_mesh_by_pod_and_by_service_address() {
    let lab = lab();
    for ip in [lab.legacy().ip(), lab.service_ip("legacy")] {
        let output = lab
            .plain()
            .command("curl", ["-s", &format!("http://{ip}:8080/health")])
            .output()
            .expect("curl (package curl) starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"status\":\"ok\"}\n");
    }
}

#[test]
fn each_pod_has_a_tmp_and_a_resolver_of_its_own() {
    let lab = lab();
    let write = lab.plain().command("sh", ["-c", "echo here > /tmp/only-in-plain"]).status();
    assert!(write.expect("sh starts").success());
    assert!(lab.plain().path("/tmp/only-in-plain").exists());
    assert!(!lab.legacy().path("/tmp/only-in-plain").exists());
    let output = lab.plain().command("getent", ["hosts", "backend"]).output().expect("getent starts");
    let expected = format!("{:<15} backend.default.svc.cluster.local\n", lab.service_ip("backend"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_signal_to_a_command_reaches_the_program_itself() {
    let mut command = lab().plain().command("sh", ["-c", "echo $$; exec sleep 60"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("sh starts");
    let mut pid = String::new();
    BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut pid).expect("sh speaks");
    assert_eq!(pid.trim(), child.id().to_string());
    child.kill().expect("the child lives");
    assert!(!child.wait().expect("a child of ours").success());
}

#[test]
fn nothing_is_left_of_a_laboratory_that_was_dropped() {
    let lab = Lab::start().expect("a second laboratory opens beside the first");
    let roots: Vec<_> = lab.cluster().pods.iter().map(|pod| lab.pod(&pod.name).path("/")).collect();
    assert!(roots.iter().all(|root| root.exists()));
    drop(lab);
    assert!(roots.iter().all(|root| !root.exists()));
}
