//! The chart as helm renders it, against what the injector understands.
//!
//! Helm prints YAML; the small chart `to-json` beside this file has helm itself
//! turn it into JSON, so that no second YAML reader can disagree with the first.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ldbg_injector::{Config, Decision, NamespaceFacts, Pod, Way, decide};
use serde_json::{Value, json};

const ON: &[&str] = &["--set", "debugContainer.enabled=true"];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn helm(args: &[&str]) -> Output {
    Command::new("helm")
        .args(args)
        .current_dir(root())
        .output()
        .expect("helm starts (scripts/setup builds it, tests/helm/run finds it)")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The objects that a release "debug" in the namespace "tools" would have.
struct Chart(Vec<Value>);

impl Chart {
    fn render(args: &[&str]) -> Self {
        let template = ["template", "debug", "helm/linkerd-debug", "--namespace", "tools"];
        let output = helm(&[&template, args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(to_json(&text(&output)))
    }

    fn of(&self, kind: &str) -> &Value {
        let mut those = self.0.iter().filter(|object| object["kind"] == kind);
        let one = those.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(those.next().is_none(), "more than one {kind}");
        one
    }

    fn config(&self) -> Value {
        let text = self.of("ConfigMap")["data"]["config.json"].as_str().expect("a file");
        serde_json::from_str(text).expect("JSON")
    }

    fn pod(&self) -> &Value {
        &self.of("Deployment")["spec"]["template"]
    }
}

fn to_json(yaml: &str) -> Vec<Value> {
    let mut helm = Command::new("helm")
        .args(["template", "tests/helm/to-json", "--set-file", "yaml=/dev/stdin"])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("helm starts");
    helm.stdin.take().expect("a pipe").write_all(yaml.as_bytes()).expect("helm reads");
    let output = helm.wait_with_output().expect("helm ends");
    assert!(output.status.success());
    let lines = text(&output);
    lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn refusal(args: &[&str]) -> String {
    let output = helm(&[&["template", "debug", "helm/linkerd-debug"], args].concat());
    assert!(!output.status.success(), "{args:?} was accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn helm_finds_nothing_to_say() {
    for args in [&[][..], ON] {
        let output = helm(&[&["lint", "--strict", "--quiet", "helm/linkerd-debug"], args].concat());
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn nothing_is_installed_by_default() {
    assert_eq!(Chart::render(&[]).0, Vec::<Value>::new());
}

#[test]
fn both_switches_install_the_same() {
    let kinds = |args| {
        let mut kinds: Vec<_> =
            Chart::render(args).0.iter().map(|object| object["kind"].to_string()).collect();
        kinds.sort();
        kinds
    };
    let installed = kinds(ON);
    assert_eq!(installed.len(), 8, "{installed:?}");
    assert_eq!(installed, kinds(&["--set", "controllerComponents.debugContainer.enabled=true"]));
}

#[test]
fn the_injector_understands_what_the_chart_tells_it() {
    let chart = Chart::render(ON);
    let config = Config::parse(&chart.config().to_string()).expect("a configuration");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"annotations": {"linkerd.io/inject": "enabled"}},
        "spec": {"containers": [{"name": "app"}]}
    }))
    .expect("a pod");
    let Decision::Inject(patch) = decide(&pod, Way::Selected, Ok(&NamespaceFacts::default()), &config) else {
        panic!("a meshed pod is injected");
    };
    let image = concat!("localhost/linkerd-debug:", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        patch[0].value,
        Some(json!({
            "name": "linkerd-debug",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": {
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "runAsNonRoot": true,
                "allowPrivilegeEscalation": true,
                "readOnlyRootFilesystem": false,
                "capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "SETUID"]},
                "seccompProfile": {"type": "RuntimeDefault"}
            },
            "terminationMessagePolicy": "FallbackToLogsOnError"
        }))
    );
    assert_eq!(chart.pod()["spec"]["containers"][0]["image"], image, "one image for both");
}

#[test]
fn values_reach_the_injected_container() {
    let config = Chart::render(
        &[
            ON,
            &["--set", "debugContainer.image.repository=registry.example/debug"],
            &["--set", "debugContainer.image.tag=2@sha256:0123"],
            &["--set", "debugContainer.image.pullPolicy=Never"],
            &["--set", "debugContainer.resources.limits.memory=1Gi"],
            // A uid of OpenShift, which a careless template prints as 1.00065e+09.
            &["--set", "debugContainer.securityContext.runAsUser=1000650000"],
            &["--set", "debugContainer.podSecurity.unlabelled=baseline"],
        ]
        .concat(),
    )
    .config();
    assert_eq!(config["container"]["image"], "registry.example/debug:2@sha256:0123");
    assert_eq!(config["container"]["imagePullPolicy"], "Never");
    assert_eq!(config["container"]["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(config["securityContexts"]["privileged"]["runAsUser"], 1_000_650_000);
    assert_eq!(config["unlabelledLevel"], "baseline");
    Config::parse(&config.to_string()).expect("a configuration");
}

#[test]
fn native_sidecars_are_used_where_the_cluster_has_them() {
    for (version, known) in [("1.28.15", false), ("1.29.0", true), ("v1.34.4-gke.100", true)] {
        let chart = Chart::render(&[ON, &["--kube-version", version]].concat());
        assert_eq!(chart.config()["nativeSidecars"], known, "{version}");
    }
}

#[test]
fn the_webhooks_stay_out_of_kube_system_and_their_own_namespace() {
    let chart = Chart::render(
        &[
            ON,
            &["--set", "debugContainer.namespaceSelector.matchLabels.team=shop"],
            &["--set", "debugContainer.namespaceSelector.matchExpressions[0].key=debug"],
            &["--set", "debugContainer.namespaceSelector.matchExpressions[0].operator=Exists"],
        ]
        .concat(),
    );
    let exclusions = [
        json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "tools"]}),
        json!({"key": "config.linkerd.io/admission-webhooks", "operator": "NotIn", "values": ["disabled"]}),
    ];
    let [selected, opted_in] =
        chart.of("MutatingWebhookConfiguration")["webhooks"].as_array().expect("two").as_slice()
    else {
        panic!("not two webhooks");
    };
    let wanted = json!({"key": "debug", "operator": "Exists"});
    assert_eq!(
        selected["namespaceSelector"],
        json!({"matchLabels": {"team": "shop"}, "matchExpressions": [exclusions[0], exclusions[1], wanted]})
    );
    assert_eq!(selected["matchConditions"], Value::Null);
    assert_eq!(selected["clientConfig"]["service"]["path"], "/inject");

    assert_eq!(opted_in["namespaceSelector"], json!({"matchExpressions": exclusions}));
    assert_eq!(opted_in["clientConfig"]["service"]["path"], "/inject/opted-in");
    let condition = opted_in["matchConditions"][0]["expression"].as_str().expect("CEL");
    assert!(condition.starts_with("has(object.metadata.annotations)"), "{condition}");
    assert!(condition.ends_with("['config.linkerd.io/enable-debug-sidecar'] == 'true'"), "{condition}");
}

#[test]
fn no_webhook_can_hold_up_a_pod() {
    let chart = Chart::render(ON);
    let configuration = chart.of("MutatingWebhookConfiguration");
    let name = configuration["metadata"]["name"].as_str().expect("a name");
    assert!(name > "linkerd-proxy-injector-webhook-config", "{name} would be called before Linkerd's");
    for webhook in configuration["webhooks"].as_array().expect("webhooks") {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["timeoutSeconds"], 3);
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
        assert_eq!(
            webhook["rules"],
            json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods"], "scope": "Namespaced"}])
        );
    }
}

#[test]
fn the_webhook_trusts_the_authority_that_signed_the_injectors_certificate() {
    let chart = Chart::render(ON);
    let secret = chart.of("Secret");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    for webhook in chart.of("MutatingWebhookConfiguration")["webhooks"].as_array().expect("webhooks") {
        assert_eq!(webhook["clientConfig"]["caBundle"], secret["data"]["ca.crt"]);
        let service = &webhook["clientConfig"]["service"];
        assert_eq!(
            (&service["name"], &service["namespace"]),
            (&chart.of("Service")["metadata"]["name"], &json!("tools"))
        );
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chart-certificate");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, file) in [("ca.crt", "ca.crt"), ("tls.crt", "tls.crt")] {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let pem = STANDARD.decode(secret["data"][name].as_str().expect("text")).expect("base64");
        std::fs::write(folder.join(file), pem).expect("a file");
    }
    let host = "debug-linkerd-debug-injector.tools.svc";
    let output = Command::new("openssl")
        .args(["verify", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", "ca.crt", "tls.crt"])
        .current_dir(&folder)
        .output()
        .expect("openssl starts (Debian's package openssl)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_injector_passes_pod_security_restricted() {
    let chart = Chart::render(ON);
    let spec = &chart.pod()["spec"];
    assert_eq!(
        spec["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let container = &spec["containers"][0];
    assert_eq!(
        container["securityContext"],
        json!({"runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    assert_eq!(chart.pod()["metadata"]["annotations"]["linkerd.io/inject"], "disabled");
    assert_eq!(
        chart.of("ClusterRole")["rules"],
        json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}])
    );
}

#[test]
fn another_configuration_is_another_injector() {
    let checksum = |args: &[&str]| {
        Chart::render(&[ON, args].concat()).pod()["metadata"]["annotations"]["checksum/config"].clone()
    };
    let plain = checksum(&[]);
    assert_eq!(plain, checksum(&["--set", "injector.replicas=2"]));
    assert_ne!(plain, checksum(&["--set", "debugContainer.resources.limits.memory=1Gi"]));
}

#[test]
fn the_schema_refuses_what_would_be_ignored_or_harmful() {
    for (value, said) in [
        ("debugContainer.enable=true", "enable"),
        ("debugContainer.enabled=1", "enabled"),
        ("debugContainer.image.name=x", "name"),
        ("debugContainer.image.pullPolicy=Sometimes", "pullPolicy"),
        ("debugContainer.securityContext.runAsUser=root", "runAsUser"),
        ("debugContainer.securityContext.runAsuser=1", "runAsuser"),
        ("debugContainer.podSecurity.unlabelled=none", "unlabelled"),
        ("debugContainer.podSecurity.restricted.runAsUser=1", "runAsUser"),
        ("debugContainer.namespaceSelector.team=shop", "team"),
        ("controllerComponents.debugContainer.image=x", "image"),
        ("injector.replicas=0", "replicas"),
        ("proxy=x", "proxy"),
    ] {
        let refusal = refusal(&["--set", value]);
        assert!(refusal.contains("values don't meet the specifications of the schema"), "{value}: {refusal}");
        assert!(refusal.contains(said), "{value}: {refusal}");
    }
}

#[test]
fn every_value_is_in_the_readme_with_its_default() {
    let readme = std::fs::read_to_string(root().join("helm/linkerd-debug/README.md")).expect("README.md");
    let output = helm(&["show", "values", "helm/linkerd-debug"]);
    let values = to_json(&text(&output)).remove(0);
    let mut leaves = Vec::new();
    flatten("", &values, &mut leaves);
    for (name, default) in leaves {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for `{name}`"));
        let compact = default.to_string();
        assert!(
            row.contains(&format!("| `{compact}` |")) || row.contains("| see values.yaml |"),
            "{row}: {compact}"
        );
    }
}

/// Whatever is a scalar, a list or an empty map; a securityContext stays one.
fn flatten(prefix: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in value.as_object().expect("a map") {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(map) if !map.is_empty() && key != "securityContext" && key != "resources" => {
                flatten(&name, value, leaves);
            }
            leaf => leaves.push((name, leaf.clone())),
        }
    }
}
