//! Conducts a diagnosis: looks at the pod, makes a request as the application
//! would, looks again, and asks the rules what that means.
//!
//! Cheap evidence comes first, and nothing more is gathered once a verdict is
//! certain. A run keeps to its budget of time and sends a handful of small
//! requests, all named in the report. Nothing here prints or judges; dropping the
//! future ends a run.
//!
//! ```
//! use ldbg_engine::Target;
//! assert_eq!("backend:8080".parse::<Target>()?.url(), "http://backend:8080/");
//! assert_eq!("tcp://db:5432".parse::<Target>()?.url(), "tcp://db:5432");
//! # Ok::<(), ldbg_engine::TargetError>(())
//! ```

mod controllers;
mod hop;
mod peers;
mod run;
mod target;
mod watch;

pub use hop::{Hop, HopState};
pub use run::{DiagnoseSpec, Diagnosis, run};
pub use target::{Target, TargetError};
