//! What to change when something is not allowed or does not answer: the one
//! place for advice, whichever tool or endpoint gives it. The layers below say
//! what is missing; these sentences follow after a colon or stand alone.

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
