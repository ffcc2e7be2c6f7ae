//! A chain for people: the verdict, what to do, then what it rests on.

use std::fmt::{Arguments, Write};

use ldbg_model::{
    Certificate, CertificateFault, CertificateObservation, CertificateOutcome, Path, Privilege, hints,
};

/// The text for one observation; `now` in seconds since 1970.
pub(super) fn render(seen: &CertificateObservation, now: i64) -> String {
    let mut text = format!("{}\n", verdict(seen, now));
    for step in next_steps(seen) {
        for part in step.lines() {
            line(&mut text, format_args!("  {part}"));
        }
    }
    if let CertificateOutcome::Shown { chain, accepts_clients_of, alpn, .. } = &seen.outcome {
        text.push_str("chain\n");
        for (position, certificate) in chain.iter().enumerate() {
            fields(&mut text, position, certificate, now);
        }
        if !accepts_clients_of.is_empty() {
            line(&mut text, format_args!("accepts clients signed by {}", accepts_clients_of.join(", ")));
        }
        if let Some(alpn) = alpn {
            line(&mut text, format_args!("protocol {alpn}"));
        }
    }
    if let Some(anchors) = &seen.anchors {
        line(&mut text, format_args!("trust anchors of this pod, from {}", anchors.stamp.source));
        for anchor in &anchors.certificates {
            line(&mut text, format_args!("  {}, {}", anchor.subject, life(anchor, now)));
            line(&mut text, format_args!("     sha256   {}", anchor.sha256));
        }
    }
    if let Some(way) = way(seen) {
        line(&mut text, format_args!("way: {way}"));
    }
    if !seen.not_checked.is_empty() {
        text.push_str("not checked\n");
        for not in &seen.not_checked {
            line(&mut text, format_args!("  {}: {}", not.what, not.because));
        }
    }
    text
}

fn verdict(seen: &CertificateObservation, now: i64) -> String {
    let who = match seen.address {
        Some(address) if address.to_string() != seen.target => format!("{} ({address})", seen.target),
        _ => seen.target.clone(),
    };
    match &seen.outcome {
        CertificateOutcome::Shown { faults, chain, leads_to_anchor, .. } => {
            let left = chain.iter().min_by_key(|one| one.not_after_unix_s).map(|one| life(one, now));
            let left = left.unwrap_or_default();
            match (faults.as_slice(), leads_to_anchor) {
                ([], Some(true)) => {
                    format!(
                        "{who} shows a certificate of {} that this pod's proxy accepts; {left}",
                        seen.identity
                    )
                }
                ([], _) => format!(
                    "{who} shows a certificate of {}; whether this pod's proxy accepts it could not be checked; {left}",
                    seen.identity
                ),
                (faults, _) => {
                    let faults: Vec<String> = faults.iter().map(|fault| because(fault, now)).collect();
                    format!("{who} shows a certificate that this pod's proxy refuses: {}", faults.join("; "))
                }
            }
        }
        CertificateOutcome::Closed => {
            format!("{who} closed the connection without a word: it does not answer to {}", seen.identity)
        }
        CertificateOutcome::NotTls => format!("{who} does not speak TLS on this port"),
        CertificateOutcome::Refused { message } => format!("{who} refused the handshake: {message}"),
        CertificateOutcome::TimedOut => {
            format!("{who} was given {} ms and did not finish the handshake", seen.elapsed_us / 1000)
        }
        CertificateOutcome::NotConnected { message } => format!("{who} could not be asked: {message}"),
    }
}

fn because(fault: &CertificateFault, now: i64) -> String {
    match fault {
        CertificateFault::Expired { subject, not_after_unix_s } => {
            format!(
                "{subject} expired {} ago, at {}",
                span(now.saturating_sub(*not_after_unix_s)),
                utc(*not_after_unix_s)
            )
        }
        CertificateFault::NotYetValid { subject, not_before_unix_s } => format!(
            "{subject} is not valid before {}, in {} by this node's clock",
            utc(*not_before_unix_s),
            span(not_before_unix_s.saturating_sub(now))
        ),
        CertificateFault::UnknownIssuer { issuer } => {
            format!("its chain ends in {issuer}, which is none of this pod's trust anchors")
        }
        CertificateFault::SameSubjectOtherKey { issuer } => {
            format!("it is signed by a {issuer} with another key than the one that this pod trusts")
        }
        CertificateFault::BadSignature => "a signature in its chain does not fit".into(),
        CertificateFault::WrongName { expected, names } => {
            format!(
                "it is of {}, not of {expected}",
                if names.is_empty() { "nobody".into() } else { names.join(", ") }
            )
        }
        CertificateFault::KeyNotProven { message } => {
            format!("the peer did not prove that the certificate is its own ({message})")
        }
        CertificateFault::Malformed { position, message } => {
            format!("certificate {position} of its chain cannot be read ({message})")
        }
        CertificateFault::Other { message } => message.clone(),
    }
}

/// What to change or to ask next.
fn next_steps(seen: &CertificateObservation) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    match &seen.outcome {
        CertificateOutcome::Shown { faults, .. } => {
            for hint in faults.iter().filter_map(hints::certificate_fault) {
                if !steps.iter().any(|step| step == hint) {
                    steps.push(hint.to_owned());
                }
            }
        }
        CertificateOutcome::Closed => steps.push(hints::NO_SUCH_IDENTITY.into()),
        CertificateOutcome::NotTls => steps.push(hints::NO_TLS.into()),
        _ => {}
    }
    steps
}

fn fields(text: &mut String, position: usize, certificate: &Certificate, now: i64) {
    line(text, format_args!("  {position}  {}", certificate.subject));
    let mut field = |name: &str, value: &str| line(text, format_args!("     {name:<8} {value}"));
    if !certificate.names.is_empty() {
        field("names", &certificate.names.join(", "));
    }
    field("issuer", &certificate.issuer);
    let (from, to) = (utc(certificate.not_before_unix_s), utc(certificate.not_after_unix_s));
    field("valid", &format!("{from} to {to}, {}", life(certificate, now)));
    field("serial", &certificate.serial);
    field("sha256", &certificate.sha256);
}

fn way(seen: &CertificateObservation) -> Option<String> {
    match &seen.path {
        Path::Direct if seen.stamp.privilege == Privilege::SetUid => {
            Some("past this pod's proxy, under its uid (CAP_SETUID)".into())
        }
        Path::Direct => Some("direct, no proxy of this pod answered".into()),
        Path::Loopback => Some("over lo, which is never redirected".into()),
        Path::OutboundProxy { listener, uid } => {
            Some(format!("through this pod's proxy at {listener} (uid {uid}): TLS inside TLS"))
        }
        Path::Unknown { reason } if reason == "not connected" => None,
        Path::Unknown { reason } => Some(format!("unknown: {reason}")),
    }
}

fn life(certificate: &Certificate, now: i64) -> String {
    let left = certificate.not_after_unix_s.saturating_sub(now);
    if left < 0 {
        format!("expired {} ago", span(left.saturating_neg()))
    } else {
        format!("{} left", span(left))
    }
}

/// `3 days`, `23 h 51 min`, `40 s`.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2026-11-22 13:48:49 UTC`. Days to a date as in Howard Hinnant's
/// `civil_from_days`, which counts years from March.
fn utc(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn line(text: &mut String, arguments: Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use ldbg_model::{Stamp, TrustAnchors};

    use super::*;

    fn shown(not_after_unix_s: i64) -> CertificateObservation {
        let stamp =
            |source: &str| Stamp { source: source.into(), at_unix_ms: 0, privilege: Privilege::SetUid };
        let certificate = |subject: &str, issuer: &str, not_after_unix_s| Certificate {
            subject: subject.into(),
            issuer: issuer.into(),
            names: Vec::new(),
            serial: "51".into(),
            not_before_unix_s: 1_795_353_401,
            not_after_unix_s,
            sha256: "5B:D6".into(),
            subject_key_id: None,
            authority_key_id: None,
        };
        let mut own = certificate("CN=a.b", "CN=issuer", not_after_unix_s);
        own.names.push("a.b".into());
        CertificateObservation {
            stamp: stamp("TLS 1.3 handshake"),
            target: "10.0.0.1:4143".into(),
            address: Some(([10, 0, 0, 1], 4143).into()),
            identity: "a.b".into(),
            outcome: CertificateOutcome::Shown {
                chain: vec![own],
                faults: Vec::new(),
                leads_to_anchor: Some(true),
                accepts_clients_of: vec!["CN=root".into()],
                alpn: Some("transport.l5d.io/v1".into()),
            },
            anchors: Some(TrustAnchors {
                stamp: stamp("GET 127.0.0.1:4191/env.json"),
                certificates: vec![certificate("CN=root", "CN=root", 2_110_712_075)],
            }),
            path: Path::Direct,
            not_checked: Vec::new(),
            elapsed_us: 1,
        }
    }

    #[test]
    fn an_accepted_chain_is_said_to_be_so_first_and_shown_after() {
        assert_eq!(
            render(&shown(1_795_439_841), 1_795_354_200),
            "\
10.0.0.1:4143 shows a certificate of a.b that this pod's proxy accepts; 23 h 47 min left
chain
  0  CN=a.b
     names    a.b
     issuer   CN=issuer
     valid    2026-11-22 13:16:41 UTC to 2026-11-23 13:17:21 UTC, 23 h 47 min left
     serial   51
     sha256   5B:D6
accepts clients signed by CN=root
protocol transport.l5d.io/v1
trust anchors of this pod, from GET 127.0.0.1:4191/env.json
  CN=root, 3649 days left
     sha256   5B:D6
way: past this pod's proxy, under its uid (CAP_SETUID)
"
        );
    }

    #[test]
    fn each_fault_has_its_reason_in_the_verdict() {
        for (fault, reason) in [
            (
                CertificateFault::Expired { subject: "CN=a.b".into(), not_after_unix_s: 60 },
                "CN=a.b expired 40 s ago, at 1970-01-01 00:01:00 UTC",
            ),
            (
                CertificateFault::NotYetValid { subject: "CN=a.b".into(), not_before_unix_s: 130 },
                "CN=a.b is not valid before 1970-01-01 00:02:10 UTC, in 30 s by this node's clock",
            ),
            (
                CertificateFault::SameSubjectOtherKey { issuer: "CN=root".into() },
                "it is signed by a CN=root with another key than the one that this pod trusts",
            ),
            (
                CertificateFault::WrongName { expected: "a.b".into(), names: vec!["c.d".into()] },
                "it is of c.d, not of a.b",
            ),
        ] {
            let mut seen = shown(1000);
            if let CertificateOutcome::Shown { faults, .. } = &mut seen.outcome {
                faults.push(fault);
            }
            let text = render(&seen, 100);
            let verdict =
                format!("10.0.0.1:4143 shows a certificate that this pod's proxy refuses: {reason}\n  ");
            assert!(text.starts_with(&verdict), "{text}");
        }
    }

    #[test]
    fn seconds_become_dates_and_spans() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_355_329), "2026-11-22 13:48:49 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 UTC");
        for (seconds, expected) in
            [(40, "40 s"), (300, "5 min"), (86_100, "23 h 55 min"), (345_600, "4 days")]
        {
            assert_eq!(span(seconds), expected);
        }
    }
}
