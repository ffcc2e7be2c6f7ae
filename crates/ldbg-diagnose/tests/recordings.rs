//! What a real Linkerd showed in real faults, and what the rules make of it.

use std::{collections::BTreeSet, fs, mem::discriminant, path::Path};

use ldbg_diagnose::{RULES, diagnose, explain};
use ldbg_model::{Confidence, Observation, Responder, Side, Verdict};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    verdict: String,
    responder: Responder,
    side: Side,
    #[serde(default)]
    candidates: Vec<String>,
}

impl Expected {
    /// Whether a verdict is the cause, or leaves it open.
    fn admits(&self, verdict: &Verdict) -> bool {
        let right = |code: &str| code == self.verdict || self.candidates.iter().any(|one| one == code);
        match verdict.code.as_str() {
            "undetermined" => true,
            "undecided" => verdict.candidates.iter().any(|candidate| right(&candidate.code)),
            code => right(code),
        }
    }
}

fn cases() -> Vec<(String, Expected, Vec<Observation>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/diagnosis");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .expect("tests/fixtures/diagnosis")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let read = |name: &str| fs::read_to_string(path.join(name)).expect(name);
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let expected = serde_json::from_str(&read("expected.json")).expect(&name);
            let observations = serde_json::from_str(&read("observations.json")).expect(&name);
            (name, expected, observations)
        })
        .collect();
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(cases.len() >= 30, "only {} fixtures", cases.len());
    cases
}

#[test]
fn every_recording_gives_its_own_verdict() {
    let mut wrong = Vec::new();
    for (name, expected, observations) in cases() {
        let report = diagnose(&name, &observations);
        let verdict = &report.verdict;
        let candidates: BTreeSet<&str> = verdict.candidates.iter().map(|one| one.code.as_str()).collect();
        let wanted: BTreeSet<&str> = expected.candidates.iter().map(String::as_str).collect();
        if (&verdict.code, verdict.side, report.responder)
            != (&expected.verdict, expected.side, expected.responder)
            || verdict.code == "undecided" && candidates != wanted
        {
            wrong.push(format!("{name}: {}", serde_json::to_string_pretty(&report).expect("JSON")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever could not be looked at, in any combination: the verdict may become
/// less sure or open, and is never another one.
#[test]
fn missing_observations_never_make_another_verdict() {
    let mut wrong = Vec::new();
    for (name, expected, observations) in cases() {
        let mut kinds = Vec::new();
        for observation in &observations {
            let kind = discriminant(&observation.seen);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for kept in 0..1_u32 << kinds.len() {
            let keep = |observation: &&Observation| {
                let kind = kinds.iter().position(|kind| *kind == discriminant(&observation.seen));
                kind.is_some_and(|kind| kept & (1 << kind) != 0)
            };
            let some: Vec<Observation> = observations.iter().filter(keep).cloned().collect();
            let verdict = diagnose(&name, &some).verdict;
            if !expected.admits(&verdict) {
                let sources: BTreeSet<&str> = some.iter().map(|one| one.stamp.source.as_str()).collect();
                wrong.push(format!("{name}: {} ({}) from {sources:?}", verdict.code, verdict.cause));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// No rule may know the port numbers, the uid or the names of the recordings.
#[test]
fn other_ports_and_names_give_the_same_verdicts() {
    let others =
        [("4143", "24143"), ("4140", "24140"), ("4191", "24191"), ("8080", "18080"), ("2102", "1337")];
    for (name, expected, observations) in cases() {
        let mut json = serde_json::to_string(&observations).expect("JSON");
        for (from, to) in others {
            for (before, after) in [(":", ","), (":", "\""), (":", "}"), ("\"", "\""), (":", ":"), (":", " ")]
            {
                json = json.replace(&format!("{before}{from}{after}"), &format!("{before}{to}{after}"));
            }
        }
        let json = json.replace("backend", "warehouse");
        let observations: Vec<Observation> = serde_json::from_str(&json).expect(&name);
        assert_eq!(diagnose(&name, &observations).verdict.code, expected.verdict, "{name}");
    }
}

#[test]
fn what_is_certain_has_no_other_candidate_and_what_is_open_says_how_to_decide() {
    for (name, _, observations) in cases() {
        let verdict = diagnose(&name, &observations).verdict;
        match verdict.confidence {
            Confidence::Certain => assert!(verdict.candidates.is_empty(), "{name}"),
            Confidence::Undecided => {
                assert!(verdict.candidates.iter().all(|one| !one.decide.is_empty()), "{name}")
            }
            Confidence::Likely => {}
        }
    }
}

#[test]
fn a_second_port_that_is_not_redirected_decides_between_missing_rules_and_a_skipped_port() {
    let (name, _, mut observations) =
        cases().into_iter().find(|case| case.0 == "redirect-rules-missing").expect("the case");
    let mut other = observations
        .iter()
        .find(|one| matches!(one.seen, ldbg_model::Observed::Redirect(_)))
        .expect("a redirect test")
        .clone();
    let ldbg_model::Observed::Redirect(test) = &mut other.seen else { panic!("not a redirect test") };
    test.target.set_port(test.target.port() + 1);
    observations.push(other);
    assert_eq!(diagnose(&name, &observations).verdict.code, "redirect-rules-missing");
}

#[test]
fn every_code_is_unique_kebab_case_and_every_page_of_the_manual_is_written() {
    let mut codes = BTreeSet::new();
    for rule in RULES {
        assert!(codes.insert(rule.code), "{} twice", rule.code);
        assert!(rule.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.code);
        assert_eq!(explain(rule.code).map(|found| found.code), Some(rule.code));
        for text in [rule.symptom, rule.proof, rule.confused_with, rule.fix] {
            assert!(text.ends_with('.'), "{}: {text}", rule.code);
        }
    }
}
