//! The AdmissionReview that the API server sends, and the one it gets back
//! (`k8s.io/api/admission/v1`).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    decide::{Decision, Operation, Reason},
    pod::Pod,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    resource: Resource,
    #[serde(rename = "subResource", default)]
    sub_resource: String,
    #[serde(default)]
    object: Value,
}

#[derive(Deserialize)]
struct Resource {
    group: String,
    resource: String,
}

/// A review as far as it matters here.
pub(crate) struct Question {
    /// To be given back.
    pub(crate) uid: String,
    /// The namespace of the pod.
    pub(crate) namespace: String,
    /// The pod to be created; `None` where something else happens, which the
    /// webhook's rules should have kept away.
    pub(crate) pod: Option<Pod>,
}

/// Why a body is not a question.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error("not an AdmissionReview: {0}")]
    Shape(serde_json::Error),
    #[error("expected an AdmissionReview of admission.k8s.io/v1, not {kind} of {version}")]
    Version { kind: String, version: String },
    #[error("request.object is not a Pod: {0}")]
    Pod(serde_json::Error),
}

/// Reads the body of a request.
pub(crate) fn parse(body: &[u8]) -> Result<Question, ReviewError> {
    let review: Review = serde_json::from_slice(body).map_err(ReviewError::Shape)?;
    if review.api_version != "admission.k8s.io/v1" || review.kind != "AdmissionReview" {
        return Err(ReviewError::Version { kind: review.kind, version: review.api_version });
    }
    let Request { uid, namespace, operation, resource, sub_resource, object } = review.request;
    let creates_pod = operation == "CREATE"
        && resource.group.is_empty()
        && resource.resource == "pods"
        && sub_resource.is_empty();
    let pod = creates_pod.then(|| serde_json::from_value(object)).transpose().map_err(ReviewError::Pod)?;
    Ok(Question { uid, namespace, pod })
}

/// Admits an object as it is.
pub(crate) fn unchanged(uid: &str) -> Value {
    let response = json!({"uid": uid, "allowed": true});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// Admits a pod, always, and with the changes that were decided.
pub(crate) fn answer(uid: &str, decision: &Decision) -> Value {
    let mut review = unchanged(uid);
    let response = &mut review["response"];
    match decision {
        Decision::Inject(patch) => {
            response["patchType"] = "JSONPatch".into();
            response["patch"] = encode(patch).into();
        }
        Decision::Leave(reason) => {
            if let Some(warning) = reason.warning() {
                response["warnings"] = json!([shortened(warning)]);
            }
        }
    }
    review
}

fn encode(patch: &[Operation]) -> String {
    STANDARD.encode(json!(patch).to_string())
}

/// A warning goes into a header and is to have at most 256 characters.
fn shortened(warning: String) -> String {
    match warning.char_indices().nth(252) {
        Some((end, _)) => format!("{}...", &warning[..end]),
        None => warning,
    }
}

/// One line for each pod, louder where somebody may wonder. Names are fields:
/// they come unchecked, and fields are printed escaped.
pub(crate) fn log(namespace: &str, pod: &Pod, decision: &Decision) {
    let name = pod.name();
    match decision {
        Decision::Inject(patch) => {
            let place = patch.last().map_or("", |operation| &operation.path);
            tracing::info!(namespace, name, place, "injected");
        }
        Decision::Leave(reason) if reason.warning().is_some() => {
            tracing::warn!(namespace, name, "not injected: {reason}");
        }
        // Most pods come twice: the API server changes what was injected, and asks again.
        Decision::Leave(Reason::AlreadyThere) => {}
        Decision::Leave(reason) => tracing::info!(namespace, name, "not injected: {reason}"),
    }
}
