//! From what was seen to the cause: `&[Observation]` goes in, a [`Report`] comes
//! out. No I/O, no clock, no network: the same observations always mean the same.
//!
//! Every rule ([`RULES`]) is asked for its opinion. One that saw its proof makes the
//! verdict; where none did and several fit, the report says which, and what would
//! decide. A guess is never a verdict. What is not here: making the observations.
//!
//! ```
//! let report = ldbg_diagnose::diagnose("http://backend/", &[]);
//! assert_eq!(report.verdict.code, "undetermined");
//! assert!(ldbg_diagnose::explain("no-endpoints").is_some());
//! ```

mod facts;
mod rules;
mod symptom;

use ldbg_model::{
    Candidate, Confidence, Observation, Observed, REPORT_SCHEMA, Report, Responder, RuledOut, Side, Verdict,
};

use facts::Facts;
use rules::Opinion;
pub use rules::{RULES, Rule};
use symptom::Symptom;

/// The manual page of a verdict's code.
pub fn explain(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code == code)
}

/// What the observations of a run about `target` mean.
pub fn diagnose(target: &str, observations: &[Observation]) -> Report {
    let facts = Facts::new(observations);
    let mut ruled_out = Vec::new();
    let mut candidates = Vec::new();
    let mut proven = Vec::new();
    for rule in RULES {
        match (rule.judge)(&facts) {
            Opinion::Silent => {}
            Opinion::RuledOut(because) => ruled_out.push(RuledOut { code: rule.code.into(), because }),
            Opinion::Possible(decide) => {
                candidates.push((rule, Candidate { code: rule.code.into(), decide }))
            }
            Opinion::Proven(proof) => proven.push((rule, proof)),
        }
    }
    let mut evidence = facts.first_evidence();
    let mut responder = facts.responder();
    let mut proven = proven.into_iter();
    let verdict = if let Some((rule, proof)) = proven.next() {
        evidence.extend(proof.evidence);
        responder = rule.responder.unwrap_or(responder);
        // Two proofs cannot both be the cause; the earlier rule lies nearer to the
        // root, and the reader is told of the other.
        let mut confidence = proof.confidence;
        for (also, other) in proven {
            confidence = Confidence::Likely;
            evidence.extend(other.evidence);
            candidates.push((also, Candidate { code: also.code.into(), decide: other.cause }));
        }
        let candidates = if confidence == Confidence::Certain { Vec::new() } else { codes(candidates) };
        let code = rule.code.into();
        Verdict { code, cause: proof.cause, side: rule.side, confidence, fix: proof.fix, candidates }
    } else {
        undecided(&facts, candidates)
    };
    Report {
        schema: REPORT_SCHEMA,
        target: target.into(),
        verdict,
        responder,
        evidence,
        ruled_out,
        not_checked: facts.gaps(),
        probes_sent: probes(observations),
    }
}

fn codes(candidates: Vec<(&Rule, Candidate)>) -> Vec<Candidate> {
    candidates.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Several causes fit, or none.
fn undecided(facts: &Facts<'_>, candidates: Vec<(&Rule, Candidate)>) -> Verdict {
    let seen = facts.symptom().map_or("nothing was tried".to_owned(), Symptom::describe);
    if candidates.is_empty() {
        return Verdict {
            code: "undetermined".into(),
            cause: format!("{seen}; no cause that is known here fits what could be seen"),
            side: Side::None,
            confidence: Confidence::Undecided,
            fix: "look at what could not be checked, and try again in the midst of the fault".into(),
            candidates: Vec::new(),
        };
    }
    let sides: Vec<Side> = candidates.iter().map(|(rule, _)| rule.side).collect();
    let names: Vec<&str> = candidates.iter().map(|(rule, _)| rule.code).collect();
    let one_side = sides.iter().all(|side| Some(side) == sides.first());
    Verdict {
        code: "undecided".into(),
        cause: match names.as_slice() {
            [only] => format!("{seen}; {only} fits, but its proof was not seen"),
            names => format!("{seen}; cannot tell apart {}", names.join(", ")),
        },
        side: if one_side { sides[0] } else { Side::None },
        confidence: Confidence::Undecided,
        fix: candidates.first().map(|(_, first)| format!("to decide: {}", first.decide)).unwrap_or_default(),
        candidates: codes(candidates),
    }
}

fn probes(observations: &[Observation]) -> Vec<String> {
    let probe = |seen: &Observed| {
        matches!(seen, Observed::Http(_) | Observed::Connect(_) | Observed::Dns(_) | Observed::Redirect(_))
    };
    observations.iter().filter(|one| probe(&one.seen)).map(|one| one.stamp.source.clone()).collect()
}

/// Who made the response, from its form alone.
fn responder(symptom: Option<Symptom<'_>>) -> Responder {
    match symptom {
        Some(Symptom::ProxyError { .. }) => Responder::OutboundProxy,
        Some(Symptom::Bare(_)) => Responder::ServerPod,
        Some(Symptom::Answered(_) | Symptom::AppError(_) | Symptom::Cut) => Responder::Application,
        _ => Responder::Nobody,
    }
}
