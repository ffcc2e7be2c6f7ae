//! Every case of `tests/fixtures/admission/cases` (its README says what is in one).

use std::{fs, panic::catch_unwind, path::PathBuf};

use ldbg_injector::{Config, Decision, NamespaceFacts, Pod, Way, decide, settled_by_pod};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    way: Option<String>,
    #[serde(default)]
    config: Map<String, Value>,
    pod: Pod,
    namespace: Option<NamespaceFacts>,
    unavailable: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    patch: Option<Value>,
    leave: Option<String>,
    warning: Option<String>,
}

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/admission"))
}

fn config(changes: Map<String, Value>) -> Config {
    let text = fs::read_to_string(fixtures().join("config.json")).expect("config.json is there");
    let mut config: Map<String, Value> = serde_json::from_str(&text).expect("config.json is JSON");
    config.extend(changes);
    Config::parse(&json!(config).to_string()).expect("config.json is a configuration")
}

fn run(case: Case) {
    let config = config(case.config);
    let way = match case.way.as_deref() {
        None | Some("selected") => Way::Selected,
        Some("opted-in") => Way::OptedIn,
        Some(other) => panic!("no way is called {other}"),
    };
    let settled = settled_by_pod(&case.pod, way);
    let decision = match (case.namespace, case.unavailable) {
        (None, None) => Decision::Leave(settled.expect("the pod settles it")),
        (Some(facts), None) => {
            assert_eq!(settled, None, "the namespace must be asked for");
            decide(&case.pod, way, Ok(&facts), &config)
        }
        (None, Some(why)) => {
            assert_eq!(settled, None, "the namespace must be asked for");
            decide(&case.pod, way, Err(why), &config)
        }
        (Some(_), Some(_)) => panic!("either namespace or unavailable"),
    };
    let (patch, leave, warning) = match decision {
        Decision::Inject(patch) => (Some(json!(patch)), None, None),
        Decision::Leave(reason) => (None, Some(reason.to_string()), reason.warning()),
    };
    assert_eq!(patch, case.expect.patch);
    assert_eq!(leave, case.expect.leave);
    assert_eq!(warning, case.expect.warning);
}

#[test]
fn every_case_is_judged_as_its_file_says() {
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(fixtures().join("cases")).expect("the cases are there") {
        let path = entry.expect("a case").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a readable case");
        let case: Case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        count += 1;
        // All of them, so that one run shows all that a change does.
        if catch_unwind(|| run(case)).is_err() {
            failed.push(name);
        }
    }
    assert!(count > 30, "only {count} cases were found");
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
