//! What to inject: the file that the chart renders from its values.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The name of the injected container, the one that Linkerd's own debug
/// container has: people know it from `kubectl exec -c linkerd-debug`.
pub(crate) const CONTAINER_NAME: &str = "linkerd-debug";

/// The levels of the Pod Security Standards, as in the namespace label
/// `pod-security.kubernetes.io/enforce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything is allowed.
    Privileged,
    /// No capability may be added but those of the usual default set, which
    /// has no `NET_RAW`.
    Baseline,
    /// All capabilities dropped, no privilege escalation, not root.
    Restricted,
}

impl Level {
    /// The level that a label's value asks for. What is not a level counts as
    /// the strictest, since too little privilege costs a capture and too much
    /// costs the whole pod.
    pub(crate) fn of_label(value: &str) -> Self {
        match value {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            _ => Self::Restricted,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or not of this shape.
    #[error("not a configuration of the injector: {0}")]
    Shape(#[from] serde_json::Error),
    /// The container has another name than the one that people will look for.
    #[error("container.name must be \"linkerd-debug\", not {0}")]
    Name(Value),
    /// No image.
    #[error("container.image must be the name of an image, not {0}")]
    Image(Value),
    /// Two places for one thing.
    #[error("container.securityContext belongs into securityContexts, one for each level")]
    SecurityContext,
}

/// What to inject and where.
#[derive(Clone, Debug)]
pub struct Config {
    container: Map<String, Value>,
    security_contexts: SecurityContexts,
    unlabelled_level: Level,
    native_sidecars: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    /// A container as in a pod's `spec.containers`, without its securityContext.
    container: Map<String, Value>,
    /// Its securityContext by the namespace's Pod Security level.
    security_contexts: SecurityContexts,
    /// The level assumed where a namespace has no label: what the API server's
    /// own configuration says, which cannot be asked for.
    unlabelled_level: Level,
    /// Whether the cluster knows init containers that keep running (1.29).
    native_sidecars: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecurityContexts {
    privileged: Map<String, Value>,
    baseline: Map<String, Value>,
    restricted: Map<String, Value>,
}

impl Config {
    /// Reads the JSON text of a configuration file.
    ///
    /// # Errors
    /// When it is not JSON, has an unknown or lacks a needed field, or when the
    /// container has no image or another name than `linkerd-debug`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = serde_json::from_str(text)?;
        let field = |name: &str| file.container.get(name).cloned().unwrap_or_default();
        if field("name") != CONTAINER_NAME {
            return Err(ConfigError::Name(field("name")));
        }
        if field("image").as_str().is_none_or(str::is_empty) {
            return Err(ConfigError::Image(field("image")));
        }
        if file.container.contains_key("securityContext") {
            return Err(ConfigError::SecurityContext);
        }
        Ok(Self {
            container: file.container,
            security_contexts: file.security_contexts,
            unlabelled_level: file.unlabelled_level,
            native_sidecars: file.native_sidecars,
        })
    }

    pub(crate) fn image(&self) -> Option<&Value> {
        self.container.get("image")
    }

    pub(crate) fn native_sidecars(&self) -> bool {
        self.native_sidecars
    }

    pub(crate) fn unlabelled_level(&self) -> Level {
        self.unlabelled_level
    }

    /// The container for a namespace of this level.
    pub(crate) fn container(&self, level: Level) -> Map<String, Value> {
        let security_context = match level {
            Level::Privileged => &self.security_contexts.privileged,
            Level::Baseline => &self.security_contexts.baseline,
            Level::Restricted => &self.security_contexts.restricted,
        };
        let mut container = self.container.clone();
        container.insert("securityContext".into(), Value::Object(security_context.clone()));
        container
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_container(container: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!(
            r#"{{"container": {container}, "unlabelledLevel": "baseline", "nativeSidecars": false,
                "securityContexts": {{"privileged": {{}}, "baseline": {{}}, "restricted": {{}}}}}}"#
        ))
    }

    #[test]
    fn a_container_that_nobody_would_find_is_refused() {
        let error = with_container(r#"{"name": "debug", "image": "i"}"#).expect_err("refused");
        assert_eq!(error.to_string(), r#"container.name must be "linkerd-debug", not "debug""#);
    }

    #[test]
    fn a_container_without_an_image_is_refused() {
        for container in [r#"{"name": "linkerd-debug"}"#, r#"{"name": "linkerd-debug", "image": ""}"#] {
            assert!(matches!(with_container(container), Err(ConfigError::Image(_))), "{container}");
        }
    }

    #[test]
    fn a_security_context_for_all_levels_is_refused() {
        let container = r#"{"name": "linkerd-debug", "image": "i", "securityContext": {}}"#;
        assert!(matches!(with_container(container), Err(ConfigError::SecurityContext)));
    }

    #[test]
    fn an_unknown_field_and_a_missing_one_are_refused_by_name() {
        let unknown = Config::parse(r#"{"contaner": {}}"#).expect_err("refused").to_string();
        assert!(unknown.contains("`contaner`"), "{unknown}");
        let missing = Config::parse("{}").expect_err("refused").to_string();
        assert!(missing.contains("`container`"), "{missing}");
    }

    #[test]
    fn a_label_that_names_no_level_counts_as_the_strictest() {
        assert_eq!(Level::of_label("baseline"), Level::Baseline);
        assert_eq!(Level::of_label("Baseline"), Level::Restricted);
    }
}
