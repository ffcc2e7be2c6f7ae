//! The judgement: does this pod get the container, and how is it written in?

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    config::Config,
    pod::{Container, NamespaceFacts, Pod},
};

/// Which of the chart's two webhooks was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The namespace is selected: every meshed pod that does not opt out.
    Selected,
    /// The namespace need not be: meshed pods whose own annotation opts in.
    OptedIn,
}

/// What to do with a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Admit it as it is.
    Leave(Reason),
    /// Admit it with these changes.
    Inject(Vec<Operation>),
}

/// Why a pod is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No proxy, and no annotation that asks for one.
    #[error("not meshed")]
    NotMeshed,
    /// `linkerd.io/inject` is something else than `enabled` or `ingress`.
    #[error("not meshed: linkerd.io/inject is {0:?}")]
    MeshedOff(String),
    /// On the host's network and without a proxy: Linkerd injects none there.
    #[error("not meshed: the pod is on the host's network")]
    HostNetwork,
    /// A static pod's image in the API: the kubelet would undo the change, again
    /// and again.
    #[error("a static pod, which only its node can change")]
    Mirror,
    /// `enable-debug-sidecar: "false"`, of the pod or its namespace.
    #[error("opted out")]
    OptedOut,
    /// The second webhook, and no `enable-debug-sidecar: "true"` on the pod.
    #[error("not opted in")]
    NotOptedIn,
    /// It has the container: a second round, or a pod made from another's YAML.
    #[error("already has the debug container")]
    AlreadyThere,
    /// A container of this name that is neither ours nor Linkerd's.
    #[error("the pod brings its own container named linkerd-debug, which is left as it is")]
    OwnContainer,
    /// A pod that is meant to end, on a cluster without native sidecars.
    #[error(
        "a pod with restartPolicy Never or OnFailure would never end with the debug container beside it \
         (Kubernetes 1.29 could end it); use kubectl debug instead"
    )]
    RunsToCompletion,
    /// The namespace could not be read.
    #[error("its namespace could not be read: {0}; create the pod again to have the debug container")]
    NamespaceUnavailable(String),
}

impl Reason {
    /// What whoever creates the pod is told, where they may have expected the
    /// container.
    pub fn warning(&self) -> Option<String> {
        let surprising =
            matches!(self, Self::OwnContainer | Self::RunsToCompletion | Self::NamespaceUnavailable(_));
        surprising.then(|| format!("linkerd-debug is not injected: {self}"))
    }
}

impl From<Reason> for Decision {
    fn from(reason: Reason) -> Self {
        Self::Leave(reason)
    }
}

/// One step of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation {
    /// `add`, `remove` or `replace`.
    pub op: &'static str,
    /// A JSON pointer (RFC 6901).
    pub path: String,
    /// What to add or to replace with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// Why the pod is left as it is whatever its namespace says, so that the API server need not be asked.
pub fn settled_by_pod(pod: &Pod, way: Way) -> Option<Reason> {
    by_pod(pod, way).err()
}

/// Judges a pod; its namespace as the API server gave it, or why it did not.
/// What the pod says counts before what its namespace says.
pub fn decide(pod: &Pod, way: Way, namespace: Result<&NamespaceFacts, String>, config: &Config) -> Decision {
    let judge = || {
        by_pod(pod, way)?;
        // From here on the namespace matters in any case: its Pod Security level does.
        let facts = namespace.map_err(Reason::NamespaceUnavailable)?;
        by_namespace(pod, facts)?;
        Ok(place(pod, config)?.patch(pod, facts, config))
    };
    judge().map_or_else(Decision::Leave, Decision::Inject)
}

/// What the pod alone rules out.
fn by_pod(pod: &Pod, way: Way) -> Result<(), Reason> {
    if pod.is_mirror() {
        return Err(Reason::Mirror);
    }
    match (pod.enable_debug(), way) {
        (Some("false"), _) => return Err(Reason::OptedOut),
        (Some("true"), Way::OptedIn) | (_, Way::Selected) => {}
        (_, Way::OptedIn) => return Err(Reason::NotOptedIn),
    }
    if pod.has_proxy() {
        return Ok(());
    }
    if pod.host_network() {
        return Err(Reason::HostNetwork);
    }
    pod.inject().map_or(Ok(()), asks_for_proxy)
}

/// What the namespace rules out, where the pod says nothing.
fn by_namespace(pod: &Pod, facts: &NamespaceFacts) -> Result<(), Reason> {
    if !pod.has_proxy() && pod.inject().is_none() {
        facts.inject().map_or(Err(Reason::NotMeshed), asks_for_proxy)?;
    }
    match pod.enable_debug().or(facts.enable_debug()) {
        Some("false") => Err(Reason::OptedOut),
        _ => Ok(()),
    }
}

fn asks_for_proxy(inject: &str) -> Result<(), Reason> {
    match inject {
        "enabled" | "ingress" => Ok(()),
        other => Err(Reason::MeshedOff(other.into())),
    }
}

/// Where the container goes, and over what.
struct Place {
    /// As an init container that keeps running, which the pod does not wait for.
    native_sidecar: bool,
    /// The index in `spec.containers` of Linkerd's own debug container. Two of
    /// one name would have the pod refused, so ours takes its place.
    over: Option<usize>,
}

fn place(pod: &Pod, config: &Config) -> Result<Place, Reason> {
    let is_ours =
        |container: &Container| container.has_image(config.image()) && !container.is_linkerds_debug();
    let mut over = None;
    for (index, container) in pod.containers().iter().enumerate().filter(|(_, c)| c.is_debug()) {
        match container {
            ours if is_ours(ours) => return Err(Reason::AlreadyThere),
            linkerds if linkerds.is_linkerds_debug() => over = Some(index),
            _ => return Err(Reason::OwnContainer),
        }
    }
    // Linkerd writes its own never among the init containers.
    if let Some(container) = pod.init_containers().iter().find(|container| container.is_debug()) {
        return Err(if is_ours(container) { Reason::AlreadyThere } else { Reason::OwnContainer });
    }
    let native_sidecar = pod.runs_to_completion();
    if native_sidecar && !config.native_sidecars() {
        return Err(Reason::RunsToCompletion);
    }
    Ok(Place { native_sidecar, over })
}

impl Place {
    fn patch(&self, pod: &Pod, facts: &NamespaceFacts, config: &Config) -> Vec<Operation> {
        let level = facts.level().unwrap_or(config.unlabelled_level());
        let mut container = config.container(level);
        let over = self.over.map(|index| format!("/spec/containers/{index}"));
        if self.native_sidecar {
            container.insert("restartPolicy".into(), "Always".into());
            let remove = over.map(|path| Operation { op: "remove", path, value: None });
            // Last of all, hence after the proxy where that is a native sidecar.
            let add = append("/spec/initContainers", pod.init_containers(), container.into());
            remove.into_iter().chain([add]).collect()
        } else if let Some(path) = over {
            vec![Operation { op: "replace", path, value: Some(container.into()) }]
        } else {
            vec![append("/spec/containers", pod.containers(), container.into())]
        }
    }
}

/// Appends to a list, which JSON patch cannot do where there is none.
fn append(list: &str, present: &[Container], value: Value) -> Operation {
    if present.is_empty() {
        Operation { op: "add", path: list.into(), value: Some(json!([value])) }
    } else {
        Operation { op: "add", path: format!("{list}/-"), value: Some(value) }
    }
}
