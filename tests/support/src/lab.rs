//! The laboratory: a cluster of network namespaces that lives as long as a value.
//!
//! ```text
//! this process ── a pipe, at whose end all ends
//!     │
//!   node      a user, pid and network namespace; routes, and Services as DNAT rules
//!     ├─ pod coredns    the name server, 10.96.0.10
//!     ├─ pod frontend   app ── stand-in for the proxy, uid 2102 ── proxy-init's rules
//!     ├─ pod backend    the same
//!     ├─ pod walled     the same, its port 4143 dropped
//!     ├─ pod orphan     the same, its proxy dead
//!     ├─ pod plain      no mesh, no app
//!     └─ pod legacy     app, no mesh
//! ```
//! What each pod and Service has is in `lab/cluster.json`.

mod cluster;
mod node;
mod pod;
mod program;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub use cluster::{Cluster, PodSpec, PortSpec, ServiceSpec};
use program::Program;
pub use program::become_program;
pub(crate) use program::say_ready;

/// A running laboratory. It ends when the value is dropped or its process dies,
/// however it dies: all of it lives in a pid namespace whose first process reads
/// a pipe that only this process holds.
pub struct Lab {
    cluster: Cluster,
    pids: BTreeMap<String, u32>,
    /// Whether it is in a user namespace of its own.
    user_namespace: bool,
    init: Child,
}

impl Lab {
    /// Opens the laboratory of [`Cluster::default`].
    ///
    /// The executable that calls this must call [`become_program`] as well.
    ///
    /// # Errors
    /// Where the kernel refuses namespaces, or a program of the laboratory fails;
    /// the error has what was printed.
    pub fn start() -> io::Result<Self> {
        Self::open(Cluster::default())
    }

    /// Opens a laboratory of `cluster`.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub fn open(cluster: Cluster) -> io::Result<Self> {
        let user_namespace = !nix::unistd::geteuid().is_root();
        let mut unshare = Command::new("unshare");
        if user_namespace {
            // The proxy's uid must exist in there: --map-auto takes a range of /etc/subuid.
            unshare.args(["--user", "--map-root-user", "--map-auto"]);
        }
        unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        Program::Node(cluster.clone()).pass_to(unshare.arg("--").arg(std::env::current_exe()?));
        let mut init = unshare
            .env("PATH", search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| explain("run unshare (package util-linux)", &error))?;
        let pids = init.stdout.take().ok_or_else(|| io::Error::other("no pipe to the laboratory")).and_then(
            |stdout| {
                let line = program::ready_line(&mut BufReader::new(stdout)).map_err(|error| {
                    let hint = if user_namespace {
                        "; without root it needs user namespaces, newuidmap (package uidmap) \
                         and a range for this user in /etc/subuid and /etc/subgid"
                    } else {
                        ""
                    };
                    io::Error::other(format!("the laboratory did not open: {error}{hint}"))
                })?;
                serde_json::from_str(&line).map_err(io::Error::other)
            },
        );
        match pids {
            Ok(pids) => Ok(Self { cluster, pids, user_namespace, init }),
            Err(error) => {
                close(&mut init);
                Err(error)
            }
        }
    }

    /// What it consists of.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The pod `name`.
    ///
    /// # Panics
    /// Where the cluster has none of that name.
    pub fn pod(&self, name: &str) -> Pod<'_> {
        let spec = self.cluster.pod(name).unwrap_or_else(|| panic!("the cluster has no pod {name}"));
        Pod { spec, pid: self.pids[name], user_namespace: self.user_namespace }
    }

    /// The meshed client.
    pub fn frontend(&self) -> Pod<'_> {
        self.pod("frontend")
    }

    /// The meshed server: 8080 answers, 8081 listens on loopback alone, 8082 is closed.
    pub fn backend(&self) -> Pod<'_> {
        self.pod("backend")
    }

    /// The client outside the mesh.
    pub fn plain(&self) -> Pod<'_> {
        self.pod("plain")
    }

    /// The server outside the mesh: 8080 answers, 8081 is dropped, 8082 is closed.
    pub fn legacy(&self) -> Pod<'_> {
        self.pod("legacy")
    }

    /// The address of the Service `name`.
    ///
    /// # Panics
    /// Where the cluster has none of that name.
    pub fn service_ip(&self, name: &str) -> std::net::Ipv4Addr {
        self.cluster.service(name).unwrap_or_else(|| panic!("the cluster has no Service {name}")).ip
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        close(&mut self.init);
    }
}

fn close(init: &mut Child) {
    drop(init.stdin.take());
    // Nothing to do about a failure: the process was reaped or never was.
    let _ = init.wait();
}

/// A pod of a running laboratory.
#[derive(Clone, Copy)]
pub struct Pod<'a> {
    spec: &'a PodSpec,
    pid: u32,
    user_namespace: bool,
}

impl Pod<'_> {
    /// The pod's address.
    pub fn ip(&self) -> std::net::Ipv4Addr {
        self.spec.ip
    }

    /// A command in the pod, as `kubectl exec` runs one: the pod's network, its
    /// resolv.conf, hosts and /tmp, as root. The child's pid is the program's own,
    /// and the program dies with the thread that started it.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid)).args(["--net", "--mount"]);
        if self.user_namespace {
            command.arg("--user");
        }
        // Only now: entering a user namespace clears the death signal.
        command.env("PATH", search_path());
        command.args(["--", "setpriv", "--pdeathsig", "KILL", "--"]).arg(program).args(args);
        command
    }

    /// Starts a stand-in for the control plane within the pod, which plays the
    /// recordings of `folder` where the proxy's configuration has the controllers,
    /// and returns once it serves. It ends with the thread that started it.
    ///
    /// # Errors
    /// Where it cannot be started, or ends before it serves.
    pub fn control_plane(&self, folder: &str) -> io::Result<()> {
        let hosts = "127.0.0.1 linkerd-dst-headless.linkerd.svc.cluster.local \
                     linkerd-policy.linkerd.svc.cluster.local\n";
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path("/etc/hosts"))?;
        file.write_all(hosts.as_bytes())?;
        let mut command = self.command(std::env::current_exe()?, [""; 0]);
        Program::ControlPlane(folder.to_owned()).pass_to(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to the control plane"))?;
        program::ready_line(&mut BufReader::new(stdout)).map(drop)
    }

    /// Where a file of the pod is, seen from outside the pod.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }
}

/// The caller's PATH, and the directories that an ordinary user's lacks.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}

/// Runs `program` with `input`, and makes an error of its failure.
fn feed(program: &str, args: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| explain(&format!("run {program}"), &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        io::Write::write_all(&mut stdin, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}: {}", args.join(" "), output.status, said.trim())))
}

/// Blocks until whoever holds the other end of standard input is gone.
fn wait_for_end_of_input() -> io::Result<()> {
    let mut line = String::new();
    while io::stdin().lock().read_line(&mut line)? > 0 {
        line.clear();
    }
    Ok(())
}
