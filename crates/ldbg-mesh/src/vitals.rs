//! What the proxy's metrics say of the proxy itself.

use ldbg_model::{CertificateLife, ControlClient, ControlState, ProxyVitals, Sample};

/// Takes the proxy's own state from its metrics, under the names that it has had:
/// before 2.13 those of the certificate had no `control_` before them.
pub fn vitals(samples: &[Sample]) -> ProxyVitals {
    let value = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| samples.iter().find(|sample| sample.name == *name))
            .map(|sample| sample.value)
    };
    let refreshes = |result: &str| {
        let counts = |sample: &&Sample| {
            sample.name == "control_identity_cert_refreshes_total" && sample.label("result") == result
        };
        samples.iter().find(counts).map(|sample| sample.value)
    };
    let certificate = value(&[
        "control_identity_cert_expiration_timestamp_seconds",
        "identity_cert_expiration_timestamp_seconds",
    ])
    .map(|expires_unix| CertificateLife {
        expires_unix,
        refreshed: refreshes("ok").or_else(|| value(&["identity_cert_refresh_count"])),
        refused: refreshes("error"),
    });
    ProxyVitals {
        version: samples.iter().find(|sample| sample.name == "proxy_build_info").map(version),
        started_unix: value(&["process_start_time_seconds"]),
        certificate,
        control: ["identity", "destination", "policy"]
            .into_iter()
            .filter_map(|name| client(samples, name))
            .collect(),
    }
}

fn version(build: &Sample) -> String {
    match build.label("git_sha") {
        "" => build.label("version").to_owned(),
        commit => format!("{} ({commit})", build.label("version")),
    }
}

fn client(samples: &[Sample], name: &str) -> Option<ControlClient> {
    let metric = |end: &str| {
        let whole = format!("control_{name}_balancer_{end}");
        samples.iter().filter(move |sample| sample.name == whole)
    };
    let address = metric("endpoints").next()?.label("addr").to_owned();
    let endpoints = |state: &str| {
        metric("endpoints")
            .filter(|sample| sample.label("endpoint_state") == state)
            .map(|sample| sample.value)
            .sum()
    };
    let at = |end: &str| metric(end).map(|sample| sample.value).fold(0.0, f64::max);
    let (ready, pending) = (endpoints("ready"), endpoints("pending"));
    let shut = at("queue_gate_shut_time_seconds");
    let state = if ready > 0.0 {
        ControlState::Connected
    } else if pending > 0.0 || shut > at("queue_gate_open_time_seconds") {
        ControlState::Lost
    } else {
        ControlState::Idle
    };
    Some(ControlClient { name: name.to_owned(), address, ready, pending, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    fn of(text: &str) -> ProxyVitals {
        vitals(&metrics::parse(text).samples)
    }

    fn states(vitals: &ProxyVitals) -> Vec<(&str, ControlState)> {
        vitals.control.iter().map(|client| (client.name.as_str(), client.state)).collect()
    }

    #[test]
    fn a_healthy_proxy_has_a_certificate_and_its_controllers() {
        let seen = of(include_str!("../../../tests/fixtures/recordings/00-healthy-vitals.txt"));
        assert_eq!(seen.version.as_deref(), Some("0.0.0-dev (29637b64f)"));
        let certificate = seen.certificate.as_ref().expect("a certificate");
        assert!(certificate.expires_unix > seen.started_unix.expect("a start"));
        assert_eq!((certificate.refreshed, certificate.refused), (Some(1.0), Some(0.0)));
        let states = states(&seen);
        assert!(states.contains(&("destination", ControlState::Connected)), "{states:?}");
        assert!(states.contains(&("policy", ControlState::Connected)), "{states:?}");
        assert!(states.iter().all(|(_, state)| *state != ControlState::Lost), "{states:?}");
    }

    #[test]
    fn without_the_identity_controller_there_never_was_a_certificate() {
        let seen = of(include_str!("../../../tests/fixtures/recordings/14a-identity-down-vitals.txt"));
        let certificate = seen.certificate.expect("its metrics");
        assert_eq!(
            (certificate.expires_unix, certificate.refreshed, certificate.refused),
            (0.0, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn controllers_that_are_gone_are_lost_and_an_idle_one_is_not() {
        let seen = of(include_str!("../../../tests/fixtures/recordings/13-destination-down-vitals.txt"));
        assert_eq!(
            states(&seen),
            [
                ("identity", ControlState::Idle),
                ("destination", ControlState::Lost),
                ("policy", ControlState::Lost)
            ]
        );
    }

    #[test]
    fn older_names_of_the_certificates_metrics_are_known() {
        let seen = of("identity_cert_refresh_count 2\nidentity_cert_expiration_timestamp_seconds 7\n");
        let certificate = seen.certificate.expect("a certificate");
        assert_eq!(
            (certificate.expires_unix, certificate.refreshed, certificate.refused),
            (7.0, Some(2.0), None)
        );
        assert_eq!(of(""), ProxyVitals::default());
    }
}
