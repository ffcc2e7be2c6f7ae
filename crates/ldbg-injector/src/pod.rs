//! The parts of Kubernetes' Pod and Namespace that the judgement needs
//! (`k8s.io/api/core/v1`); all else in them is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{CONTAINER_NAME, Level};

const INJECT: &str = "linkerd.io/inject";
const ENABLE_DEBUG: &str = "config.linkerd.io/enable-debug-sidecar";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const MIRROR: &str = "kubernetes.io/config.mirror";
const PROXY_NAME: &str = "linkerd-proxy";

/// Where the service account's token is mounted into every container, by the API
/// server itself.
const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    generate_name: Option<String>,
    // Go writes an empty map as null where it is not left out.
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

impl Metadata {
    /// An annotation; an empty one counts as none, as it does for Linkerd.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A pod, as an AdmissionReview carries it.
#[derive(Clone, Debug, Deserialize)]
pub struct Pod {
    #[serde(default)]
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    #[serde(default)]
    host_network: bool,
    restart_policy: Option<String>,
}

/// A container of a pod.
#[derive(Clone, Debug, Deserialize)]
pub struct Container {
    name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Pod {
    /// The pod's name, or the beginning of the one it will get.
    pub fn name(&self) -> &str {
        let metadata = &self.metadata;
        metadata.name.as_deref().or(metadata.generate_name.as_deref()).unwrap_or("(no name)")
    }

    /// `linkerd.io/inject`.
    pub(crate) fn inject(&self) -> Option<&str> {
        self.metadata.annotation(INJECT)
    }

    /// `config.linkerd.io/enable-debug-sidecar`.
    pub(crate) fn enable_debug(&self) -> Option<&str> {
        self.metadata.annotation(ENABLE_DEBUG)
    }

    /// Whether this only shows a pod that a node runs from a file of its own.
    pub(crate) fn is_mirror(&self) -> bool {
        self.metadata.annotation(MIRROR).is_some()
    }

    pub(crate) fn containers(&self) -> &[Container] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    pub(crate) fn init_containers(&self) -> &[Container] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    pub(crate) fn host_network(&self) -> bool {
        self.spec.host_network
    }

    /// Whether the pod is meant to end, as those of a Job: it would wait for an
    /// ordinary container that never does.
    pub(crate) fn runs_to_completion(&self) -> bool {
        self.spec.restart_policy.as_deref().is_some_and(|policy| policy != "Always")
    }

    /// Whether the proxy is there, as a container or as a native sidecar.
    pub(crate) fn has_proxy(&self) -> bool {
        self.containers().iter().chain(self.init_containers()).any(|container| container.name == PROXY_NAME)
    }
}

impl Container {
    pub(crate) fn is_debug(&self) -> bool {
        self.name == CONTAINER_NAME
    }

    pub(crate) fn has_image(&self, image: Option<&Value>) -> bool {
        self.rest.get("image") == image
    }

    /// Whether this is the debug container that Linkerd's own injector writes
    /// (`charts/partials/templates/_debug.tpl`: an image, two probes that run
    /// `true`, and nothing else) with what the API server adds to any container.
    pub(crate) fn is_linkerds_debug(&self) -> bool {
        let runs_true = |probe: &str| {
            let command = self.rest.get(probe).and_then(|probe| probe.pointer("/exec/command"));
            command.and_then(Value::as_array).is_some_and(|command| command == &["true"])
        };
        let nothing_else = self.rest.iter().all(|(field, value)| match field.as_str() {
            "image"
            | "imagePullPolicy"
            | "livenessProbe"
            | "readinessProbe"
            | "resources" // a LimitRange
            | "terminationMessagePath"
            | "terminationMessagePolicy" => true,
            "volumeMounts" => value
                .as_array()
                .is_some_and(|mounts| mounts.iter().all(|mount| mount["mountPath"] == TOKEN_MOUNT)),
            _ => false,
        });
        self.is_debug() && runs_true("livenessProbe") && runs_true("readinessProbe") && nothing_else
    }
}

/// What a namespace says of its pods.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NamespaceFacts {
    #[serde(default)]
    metadata: Metadata,
}

impl NamespaceFacts {
    /// `linkerd.io/inject`.
    pub(crate) fn inject(&self) -> Option<&str> {
        self.metadata.annotation(INJECT)
    }

    /// `config.linkerd.io/enable-debug-sidecar`.
    pub(crate) fn enable_debug(&self) -> Option<&str> {
        self.metadata.annotation(ENABLE_DEBUG)
    }

    /// The Pod Security level that is enforced here, if the namespace says.
    pub(crate) fn level(&self) -> Option<Level> {
        self.metadata.labels.as_ref()?.get(ENFORCE).map(|value| Level::of_label(value))
    }
}
