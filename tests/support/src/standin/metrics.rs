//! The proxy's metrics, in the names and labels recorded from the real one
//! (00-healthy/metrics-after.txt): those that move with requests, a part of the whole.

use std::{collections::BTreeMap, fmt::Write as _, sync::Mutex, time::SystemTime};

use super::lock;

pub(super) struct Metrics {
    /// By name, then by labels.
    series: Mutex<BTreeMap<&'static str, BTreeMap<String, i64>>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self { series: Mutex::default() };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        // As if a certificate had just come: 24 h and the 20 s of clock skew (once/leaf.txt).
        metrics.set("control_identity_cert_expiration_timestamp_seconds", "", now.saturating_add(86_420));
        metrics.add("control_identity_cert_refreshes_total", "result=\"ok\"", 1);
        metrics.set("process_start_time_seconds", "", now);
        // The controllers that an idle proxy keeps a connection to (00-healthy/metrics-after.txt).
        for (name, address, ready) in [
            (
                "control_identity_balancer_endpoints",
                "linkerd-identity-headless.linkerd.svc.cluster.local:8080",
                0,
            ),
            (
                "control_destination_balancer_endpoints",
                "linkerd-dst-headless.linkerd.svc.cluster.local:8086",
                1,
            ),
            ("control_policy_balancer_endpoints", "linkerd-policy.linkerd.svc.cluster.local:8090", 1),
        ] {
            metrics.set(name, format!("endpoint_state=\"pending\",addr=\"{address}\""), 0);
            metrics.set(name, format!("endpoint_state=\"ready\",addr=\"{address}\""), ready);
        }
        metrics.add(
            "proxy_build_info",
            "date=\"2026-11-22T12:36:37Z\",git_sha=\"29637b64f\",profile=\"release\",vendor=\"ldbg-testkit\",version=\"0.0.0-dev\"",
            1,
        );
        metrics
    }

    /// Moves a counter or a gauge; a series begins at 0.
    pub(super) fn add(&self, name: &'static str, labels: impl Into<String>, by: i64) {
        let mut series = lock(&self.series);
        let value = series.entry(name).or_default().entry(labels.into()).or_default();
        *value = value.saturating_add(by);
    }

    pub(super) fn set(&self, name: &'static str, labels: impl Into<String>, to: i64) {
        lock(&self.series).entry(name).or_default().insert(labels.into(), to);
    }

    /// In Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (name, series) in &*lock(&self.series) {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let _ = writeln!(text, "# TYPE {name} {kind}");
            for (labels, value) in series {
                let _ = match labels.as_str() {
                    "" => writeln!(text, "{name} {value}"),
                    labels => writeln!(text, "{name}{{{labels}}} {value}"),
                };
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_series_has_its_labels_in_braces_and_one_without_has_none() {
        let metrics = Metrics::new();
        metrics.add("outbound_http_errors_total", "error=\"failfast\"", 1);
        metrics.add("outbound_http_errors_total", "error=\"failfast\"", 1);
        let text = metrics.render();
        assert!(text.contains("\noutbound_http_errors_total{error=\"failfast\"} 2\n"), "{text}");
        assert!(text.contains("\nprocess_start_time_seconds 1"), "{text}");
    }
}
