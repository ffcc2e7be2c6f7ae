//! A pod: its link, its files, its rules, its programs.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::mount::{MsFlags, mount};

use super::{
    Cluster, PodSpec, explain, feed,
    program::{Program, ready_line, say_ready},
    wait_for_end_of_input,
};
use crate::standin;

/// The rules of linkerd-init's iptables-nft (recording once/iptables-save.txt).
const PROXY_INIT: &str = include_str!("../../../fixtures/recordings/proxy-init-rules.txt");

/// Neither root nor the proxy: the uid of the applications.
const APP_UID: u32 = 1000;

pub(super) fn run(cluster: &Cluster, spec: &PodSpec) -> io::Result<()> {
    say_ready("born")?;
    // The node answers once it has put the link's other end in here.
    io::stdin().lock().read_line(&mut String::new())?;
    let (ip, node) = (spec.ip, cluster.node);
    // Router solicitations would show in captures; the cluster has IPv4 alone.
    let generate = "/proc/sys/net/ipv6/conf/eth0/addr_gen_mode";
    if Path::new(generate).exists() {
        fs::write(generate, "1")?;
    }
    feed(
        "ip",
        &["-batch", "-"],
        &format!(
            "link set lo up\naddr add {ip}/32 dev eth0\nlink set eth0 up\n\
             route add {node}/32 dev eth0\nroute add default via {node}\n"
        ),
    )?;
    feed("iptables-nft-restore", &[], &rules(spec))?;
    files(cluster, spec)?;

    let mut programs = Vec::new();
    if spec.meshed && !spec.proxy_dead {
        programs.push(start(&Program::Proxy(cluster.clone(), spec.clone()), standin::UID)?);
    }
    if !spec.listen.is_empty() {
        programs.push(start(&Program::App(spec.clone()), APP_UID)?);
    }
    if spec.dns {
        programs.push(start(&Program::Dns(cluster.clone()), 0)?);
    }
    for (_, output) in &mut programs {
        ready_line(output)?;
    }
    // /proc is that of whoever opened the laboratory, and so are the pids in it.
    let pid = fs::read_link("/proc/self")?;
    say_ready(&pid.to_string_lossy())?;
    wait_for_end_of_input()
}

/// Starts a program of the pod under a uid of its own.
fn start(program: &Program, uid: u32) -> io::Result<(Child, BufReader<std::process::ChildStdout>)> {
    // Not by its path: that uid may not pass the directories that lead there.
    let mut command = Command::new("/proc/self/exe");
    program.pass_to(&mut command);
    let mut child = command
        .arg0(program.name())
        .uid(uid)
        .gid(uid)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| explain(&format!("start a program as uid {uid}"), &error))?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to the program"))?;
    Ok((child, BufReader::new(stdout)))
}

fn rules(spec: &PodSpec) -> String {
    let mut rules = String::new();
    if spec.meshed {
        rules.push_str(PROXY_INIT);
    }
    rules.push_str("*raw\n:PREROUTING ACCEPT\n");
    for port in &spec.dropped {
        let _ = writeln!(rules, "-A PREROUTING -i eth0 -p tcp --dport {port} -j DROP");
    }
    rules.push_str("COMMIT\n");
    rules
}

/// A /tmp of its own, and the files in /etc that the kubelet writes.
fn files(cluster: &Cluster, spec: &PodSpec) -> io::Result<()> {
    let kept = open_below(Path::new("/tmp"))?;
    mount_at(None, Path::new("/tmp"), Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    for (path, directory) in &kept {
        fs::create_dir_all(path)?;
        let source = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        mount_at(Some(&source), path, None, MsFlags::MS_BIND | MsFlags::MS_REC)?;
    }
    let resolv = format!(
        "search default.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver {}\noptions ndots:5\n",
        cluster.dns
    );
    let hosts =
        format!("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n{}\t{}\n", spec.ip, spec.name);
    for (path, text) in [("/etc/resolv.conf", resolv), ("/etc/hosts", hosts)] {
        let source = Path::new("/tmp").join(".lab");
        fs::write(&source, text)?;
        mount_at(Some(&source), Path::new(path), None, MsFlags::MS_BIND)?;
        // The mount keeps it.
        fs::remove_file(&source)?;
    }
    Ok(())
}

/// The directories below `top` that must stay visible though something is mounted
/// on `top`: a clone of the repository there, with its executables.
fn open_below(top: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let executable = env::current_exe()?;
    // target/debug/deps/TEST, and target/debug/ldbg which it tests.
    let built = executable.ancestors().nth(2).unwrap_or(&executable);
    [repository.canonicalize()?, built.to_path_buf()]
        .into_iter()
        .filter(|path| path.starts_with(top))
        .map(|path| Ok((path.clone(), File::open(&path)?)))
        .collect()
}

fn mount_at(source: Option<&Path>, target: &Path, kind: Option<&str>, flags: MsFlags) -> io::Result<()> {
    mount(source, target, kind, flags, None::<&str>)
        .map_err(|error| explain(&format!("mount on {}", target.display()), &error.into()))
}
