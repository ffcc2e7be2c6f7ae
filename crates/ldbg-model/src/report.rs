//! What the observations of a run mean.

use serde::{Deserialize, Serialize};

use crate::NotChecked;

/// The version of [`Report`]'s JSON. It grows with every change that a reader of
/// the old form would misunderstand.
pub const REPORT_SCHEMA: u32 = 1;

/// Where the cause lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// This pod: its proxy, its rules, its annotations, its request.
    Client,
    /// The pods that serve, their proxies, their Service and policies.
    Server,
    /// What lies between the two.
    Network,
    /// Linkerd's controllers.
    ControlPlane,
    /// Names.
    Dns,
    /// The application that answers.
    Application,
    /// Nothing is wrong, or it is not known where.
    None,
}

/// Who made the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Responder {
    /// The proxy of this pod.
    OutboundProxy,
    /// The proxy of the server's pod.
    InboundProxy,
    /// The application.
    Application,
    /// There was no response.
    Nobody,
    /// The server's proxy or its application: an empty answer that either may give.
    ServerPod,
}

/// How far a verdict can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Several causes fit, or none that is known.
    Undecided,
    /// It fits, and everything else that fits is less likely.
    Likely,
    /// Its proof was seen.
    Certain,
}

/// One observation that speaks for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it was seen.
    pub source: String,
    /// What was seen, in one line.
    pub says: String,
}

/// A cause that would look alike, and why it is not this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// The verdict's code.
    pub code: String,
    /// What excludes it.
    pub because: String,
}

/// A cause that cannot be excluded, and how to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The verdict's code.
    pub code: String,
    /// What to do or to look at.
    pub decide: String,
}

/// The cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Stable kebab-case name; `ldbg explain CODE` tells more. `undecided` where
    /// several causes fit, `undetermined` where none does.
    pub code: String,
    /// One line.
    pub cause: String,
    /// Where the cause lies.
    pub side: Side,
    /// How far to trust this.
    pub confidence: Confidence,
    /// What to change.
    pub fix: String,
    /// For `undecided`: the causes that fit.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
}

/// A diagnosis: one verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_SCHEMA`].
    pub schema: u32,
    /// What was asked about.
    pub target: String,
    /// The cause.
    pub verdict: Verdict,
    /// Who made the response.
    pub responder: Responder,
    /// What speaks for it.
    pub evidence: Vec<Evidence>,
    /// What would look alike and is not.
    pub ruled_out: Vec<RuledOut>,
    /// What could not be checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// Every request and connect that was made to find out.
    pub probes_sent: Vec<String>,
}
