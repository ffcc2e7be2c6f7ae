//! What to change when something is not allowed: the one place for advice.

use ldbg_sys::capability::Missing;

/// What to add to the pod for a capability that is missing, and where it is stuck.
pub(crate) fn missing_capability(missing: &Missing) -> String {
    let name = missing.capability.to_string();
    let short = name.trim_start_matches("CAP_");
    if missing.bounded {
        format!(
            "{name} is allowed in this container and not granted to this process: its securityContext must not \
             set allowPrivilegeEscalation to false (file capabilities are ignored then), or run as uid 0, or use \
             kubectl debug --profile=netadmin"
        )
    } else {
        format!(
            "{name} is not allowed in this container: add securityContext.capabilities.add: [\"{short}\"] to it (and \
             not allowPrivilegeEscalation: false), or use kubectl debug --profile=netadmin"
        )
    }
}
