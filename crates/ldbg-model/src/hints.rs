//! What to change when something is not allowed or does not answer: the one
//! place for advice, whichever tool or endpoint gives it. The layers below say
//! what is missing; these sentences follow after a colon or stand alone.

use crate::CertificateFault;

/// What to change in the pod for a capability that the process cannot use.
/// `capability` is its full name; `bounded` says whether the container may have
/// it and only this process does not.
///
/// ```
/// let hint = ldbg_model::hints::missing_capability("CAP_NET_RAW", false);
/// assert!(hint.starts_with(r#"add securityContext.capabilities.add: ["NET_RAW"] to it"#));
/// ```
pub fn missing_capability(capability: &str, bounded: bool) -> String {
    if bounded {
        "its securityContext must not set allowPrivilegeEscalation to false (file capabilities are ignored \
         then), or run as uid 0, or use kubectl debug --profile=netadmin"
            .into()
    } else {
        let short = capability.trim_start_matches("CAP_");
        format!(
            "add securityContext.capabilities.add: [\"{short}\"] to it (and not allowPrivilegeEscalation: \
             false), or use kubectl debug --profile=netadmin"
        )
    }
}

/// What to change where `CAP_NET_RAW` is effective and packet sockets are refused
/// all the same.
pub const NO_PACKET_SOCKET: &str = "a seccomp profile or a security module of the pod forbids it, or the \
     network namespace belongs to another user namespace than the process; \
     kubectl debug --profile=netadmin has neither";

/// Where to look when no DNS server answered. Two lines.
pub const NO_DNS_SERVER: &str = "UDP never goes through the Linkerd proxy: look at the DNS server's pods, its\n\
     Service and the network policies for port 53.";

/// Where to look when a proxy closes a handshake without a word.
pub const NO_SUCH_IDENTITY: &str = "a proxy closes on any server name but its own identity: compare with that pod's\n\
     service account and namespace. One without a certificate yet does the same\n\
     (its /ready answers 503).";

/// Where to look when a port that should be a proxy's answers in plain text.
pub const NO_TLS: &str = "ask a proxy's own port, 4191 or 4143. A proxy without a certificate yet speaks\n\
     plain HTTP there (its /ready answers 503); so does a pod that is not meshed.";

/// What to change where this pod's proxy refuses a peer's certificate, if the fault
/// alone says so.
pub fn certificate_fault(fault: &CertificateFault) -> Option<&'static str> {
    match fault {
        CertificateFault::Expired { .. } => Some(
            "its renewal failed: see that linkerd-identity runs and that the issuer's certificate has\n\
             not ended (linkerd check --proxy), then restart that pod if it does not recover.",
        ),
        CertificateFault::NotYetValid { .. } => {
            Some("compare the clocks of this node, the peer's and the one that linkerd-identity runs on.")
        }
        CertificateFault::UnknownIssuer { .. } | CertificateFault::SameSubjectOtherKey { .. } => Some(
            "the two pods started with different trust anchors: restart the one that is older than the\n\
             present linkerd-identity-trust-roots; to change a root, bundle the old and the new one first.",
        ),
        CertificateFault::WrongName { .. } => {
            Some("the address belongs to another workload by now, or the identity asked for is not its own.")
        }
        _ => None,
    }
}
