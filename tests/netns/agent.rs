//! The control endpoint of an agent in the meshed client, asked by Debian's curl
//! in the same pod, as `kubectl port-forward` would.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{LDBG, Said, debian, lab};

/// A running agent; it is killed with the thread of its test at the latest.
struct Agent {
    child: Child,
    address: String,
    token: String,
}

impl Agent {
    /// Each test starts one of its own, so `name` is the test's.
    fn start(name: &str) -> Self {
        let file = format!("/tmp/{name}");
        let mut child = lab()
            .frontend()
            .command(LDBG, ["agent", "--listen", "127.0.0.1:0", "--token-file", &file])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let line = log.find_map(|line| line.ok().filter(|line| line.contains("listening on ")));
        let line = line.expect("the agent listens");
        let (_, address) = line.trim_end().rsplit_once(' ').expect("an address ends the line");
        // Read on, or the agent would wait for room in the pipe.
        std::thread::spawn(move || log.for_each(drop));
        let token = std::fs::read_to_string(lab().frontend().path(file)).expect("the token is there");
        Self { child, address: address.into(), token: token.trim().into() }
    }

    fn ask(&self, path: &str, options: &[&str]) -> Said {
        let url = format!("http://{}{path}", self.address);
        debian(lab().frontend(), "curl", &[&["-s", "-w", "\n%{http_code}", &url], options].concat())
    }

    /// Sends JSON with the token, and expects 200 and JSON.
    fn probe(&self, path: &str, spec: &Value) -> Value {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let said = self.ask(
            path,
            &["-H", &authorization, "-H", "Content-Type: application/json", "-d", &spec.to_string()],
        );
        let (body, status) = said.out.rsplit_once('\n').expect("the status is on its own line");
        assert_eq!(status, "200", "{body}");
        serde_json::from_str(body).expect("the answer is JSON")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended of itself; there is nothing more to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_the_token_nothing_is_probed() {
    let agent = Agent::start("token-of-refusals");
    for options in
        [&["-d", r#"{"name":"backend"}"#][..], &["-H", "Authorization: Bearer nonsense", "-d", "{}"]]
    {
        let said = agent.ask("/v1/dns", options);
        assert!(said.out.contains(r#"{"error":"#) && said.out.ends_with("\n401"), "{said:?}");
    }
    assert!(agent.ask("/livez", &[]).out.ends_with("\n200"));
}

#[test]
fn a_dns_probe_walks_the_pods_search_list() {
    let agent = Agent::start("token-of-dns");
    let seen = agent.probe("/v1/dns", &json!({ "name": "backend" }));
    assert_eq!(seen["outcome"], "found");
    assert_eq!(seen["found_as"], "backend.default.svc.cluster.local.");
    assert_eq!(seen["server"], "10.96.0.10:53");
    assert_eq!(seen["addresses"], json!([lab().service_ip("backend")]));
}
