//! The proxy's configuration, read from `GET /env.json`: an object of strings,
//! the environment that the injector gave it. The names are those of
//! linkerd2-proxy's `linkerd/app/src/env.rs`; those that came later stand first.

use std::{collections::BTreeMap, str::FromStr};

use ldbg_model::{Controller, ProxyEnvironment};

const PREFIX: &str = "LINKERD2_PROXY_";

/// Understands the text of `/env.json`; `None` where it is not that of a proxy.
///
/// A variable that is missing or makes no sense costs its field, not the rest.
pub fn environment(json: &str) -> Option<ProxyEnvironment> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let mut variables: BTreeMap<String, String> = object
        .into_iter()
        .filter(|(name, _)| !is_secret(name))
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .collect();
    if !variables.keys().any(|name| name.starts_with(PREFIX)) {
        return None;
    }
    let mut reader = Reader { variables: &variables, misunderstood: Vec::new() };
    let environment = ProxyEnvironment {
        outbound: reader.list(&["OUTBOUND_LISTEN_ADDRS", "OUTBOUND_LISTEN_ADDR"]),
        inbound: reader.parsed("INBOUND_LISTEN_ADDR"),
        admin: reader.parsed("ADMIN_LISTEN_ADDR"),
        tap: reader.parsed("CONTROL_LISTEN_ADDR"),
        identity: reader.text("IDENTITY_LOCAL_NAME"),
        trust_anchors: reader.text("IDENTITY_TRUST_ANCHORS"),
        trust_domain: reader.plain("_l5d_trustdomain"),
        control_namespace: reader.plain("_l5d_ns"),
        identity_controller: reader.controller("IDENTITY"),
        destination_controller: reader.controller("DESTINATION"),
        policy_controller: reader.controller("POLICY"),
        pod: reader.plain("_pod_name"),
        namespace: reader.plain("_pod_ns"),
        service_account: reader.plain("_pod_sa"),
        inbound_ips: reader.list(&["INBOUND_IPS"]),
        inbound_ports: reader.list(&["INBOUND_PORTS"]),
        inbound_default_policy: reader.text("INBOUND_DEFAULT_POLICY"),
        inbound_opaque_ports: reader.text("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION"),
        policy_workload: reader.text("POLICY_WORKLOAD"),
        destination_context: reader.text("DESTINATION_CONTEXT"),
        ingress_mode: reader.text("INGRESS_MODE").is_some_and(|text| text == "true" || text == "1"),
        variables: BTreeMap::new(),
        misunderstood: Vec::new(),
    };
    let misunderstood = reader.misunderstood;
    Some(ProxyEnvironment { variables: std::mem::take(&mut variables), misunderstood, ..environment })
}

/// Users may add variables of their own to the proxy. Those that hold the name of
/// a file, as the proxy's own token's does, give nothing away.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let says = |word: &str| name.contains(word);
    !name.ends_with("_FILE")
        && !name.ends_with("_DIR")
        && (says("TOKEN") || says("SECRET") || says("PASSWORD") || says("PRIVATE") || says("CREDENTIAL"))
        || name.ends_with("_KEY")
}

struct Reader<'a> {
    variables: &'a BTreeMap<String, String>,
    misunderstood: Vec<String>,
}

impl Reader<'_> {
    /// A variable under its whole name; an empty one is as good as none.
    fn plain(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.plain(&format!("{PREFIX}{name}"))
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let parsed = self.text(name)?.parse();
        if parsed.is_err() {
            self.misunderstood.push(format!("{PREFIX}{name}"));
        }
        parsed.ok()
    }

    /// Commas between; of several names the first that is set counts.
    fn list<T: FromStr>(&mut self, names: &[&str]) -> Vec<T> {
        let Some((name, text)) = names.iter().find_map(|name| Some((name, self.text(name)?))) else {
            return Vec::new();
        };
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let parsed: Result<Vec<T>, _> = words.map(str::parse).collect();
        parsed.unwrap_or_else(|_| {
            self.misunderstood.push(format!("{PREFIX}{name}"));
            Vec::new()
        })
    }

    fn controller(&self, which: &str) -> Option<Controller> {
        let address = self.text(&format!("{which}_SVC_ADDR"))?;
        Some(Controller { address, name: self.text(&format!("{which}_SVC_NAME")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/fixtures/recordings/env.json");

    #[test]
    fn a_recorded_proxys_configuration_is_understood() {
        let seen = environment(RECORDED).expect("a proxy's");
        let at = |text: &str| text.parse().expect("an address");
        assert_eq!(seen.outbound, [at("127.0.0.1:4140")]);
        assert_eq!((seen.inbound, seen.admin), (Some(at("0.0.0.0:4143")), Some(at("0.0.0.0:4191"))));
        let identity = "frontend.00-healthy.serviceaccount.identity.linkerd.cluster.local";
        assert_eq!(seen.identity.as_deref(), Some(identity));
        assert!(seen.trust_anchors.expect("anchors").starts_with("-----BEGIN CERTIFICATE-----\n"));
        let policy = seen.policy_controller.expect("a controller");
        assert_eq!(policy.address, "linkerd-policy.linkerd.svc.cluster.local.:8090");
        assert_eq!(
            policy.name.as_deref(),
            Some("linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local")
        );
        assert_eq!(seen.inbound_default_policy.as_deref(), Some("all-unauthenticated"));
        assert_eq!(seen.inbound_ports, [0_u16; 0]);
        assert!(!seen.ingress_mode && seen.misunderstood.is_empty());
        assert_eq!(
            seen.variables["LINKERD2_PROXY_IDENTITY_TOKEN_FILE"],
            "/var/run/secrets/tokens/linkerd-identity-token"
        );
    }

    #[test]
    fn an_older_proxy_names_one_outbound_address_and_a_newer_one_several() {
        let old =
            environment(r#"{"LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR":"127.0.0.1:5140"}"#).expect("a proxy's");
        assert_eq!(old.outbound, ["127.0.0.1:5140".parse().expect("an address")]);
        let new = environment(
            r#"{"LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR":"127.0.0.1:1","LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS":"127.0.0.1:4140, [::1]:4140"}"#,
        )
        .expect("a proxy's");
        assert_eq!(new.outbound[1], "[::1]:4140".parse().expect("an address"));
    }

    #[test]
    fn a_value_without_sense_costs_its_own_field() {
        let seen = environment(
            r#"{"LINKERD2_PROXY_ADMIN_LISTEN_ADDR":"nowhere","LINKERD2_PROXY_INBOUND_PORTS":"80,x",
                "LINKERD2_PROXY_INBOUND_LISTEN_ADDR":7,"_pod_ns":"shop"}"#,
        )
        .expect("a proxy's");
        assert_eq!((seen.admin, seen.inbound), (None, None));
        assert_eq!(seen.misunderstood, ["LINKERD2_PROXY_ADMIN_LISTEN_ADDR", "LINKERD2_PROXY_INBOUND_PORTS"]);
        assert_eq!(seen.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn what_is_not_a_proxys_is_none_of_it() {
        for text in ["", "[]", "{", "null", "{}", r#"{"PATH":"/bin"}"#, "<html>", "\u{0}"] {
            assert_eq!(environment(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_kept() {
        let seen = environment(
            r#"{"LINKERD2_PROXY_LOG":"warn","MY_API_TOKEN":"a","DB_PASSWORD":"b","TLS_KEY":"c","my_secret":"d",
                "LINKERD2_PROXY_IDENTITY_TOKEN_FILE":"/f"}"#,
        )
        .expect("a proxy's");
        let kept: Vec<&str> = seen.variables.keys().map(String::as_str).collect();
        assert_eq!(kept, ["LINKERD2_PROXY_IDENTITY_TOKEN_FILE", "LINKERD2_PROXY_LOG"]);
    }
}
