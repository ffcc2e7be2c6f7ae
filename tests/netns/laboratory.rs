//! The laboratory itself, seen with Debian's tools.

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
