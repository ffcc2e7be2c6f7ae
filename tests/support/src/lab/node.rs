//! The node: the router between the pods and the Services' addresses. It is the
//! first process of the laboratory's pid namespace, so all ends with it.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use super::{
    Cluster, PodSpec, explain, feed,
    program::{Program, ready_line, say_ready},
    wait_for_end_of_input,
};

pub(super) fn run(cluster: &Cluster) -> io::Result<()> {
    let mut pods = cluster
        .pods
        .iter()
        .map(|spec| start(cluster, spec))
        .collect::<io::Result<Vec<(Child, BufReader<_>)>>>()?;
    for (_, output) in &mut pods {
        ready_line(output)?;
    }
    let pids: Vec<u32> = pods.iter().map(|(child, _)| child.id()).collect();
    feed("ip", &["-batch", "-"], &links(cluster, &pids))?;
    let forward = "/proc/sys/net/ipv4/ip_forward";
    fs::write(forward, "1").map_err(|error| explain(&format!("write {forward}"), &error))?;
    feed("iptables-nft-restore", &[], &rules(cluster))?;
    // Every pod goes on at once; then the last one decides.
    for (child, _) in &mut pods {
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(b"linked\n")?;
        }
    }
    let mut seen = BTreeMap::new();
    for (spec, (_, output)) in cluster.pods.iter().zip(&mut pods) {
        let pid =
            ready_line(output).map_err(|error| io::Error::other(format!("pod {}: {error}", spec.name)))?;
        seen.insert(&spec.name, pid.parse::<u32>().map_err(io::Error::other)?);
    }
    say_ready(&serde_json::to_string(&seen)?)?;
    wait_for_end_of_input()
}

fn start(cluster: &Cluster, spec: &PodSpec) -> io::Result<(Child, BufReader<std::process::ChildStdout>)> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--"]).arg(env::current_exe()?);
    Program::Pod(cluster.clone(), spec.clone()).pass_to(&mut unshare);
    let mut child = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to the pod"))?;
    Ok((child, BufReader::new(stdout)))
}

/// A point-to-point link to every pod, as the ptp CNI plugin makes them: pods
/// share no segment, so all they say to each other passes the node.
fn links(cluster: &Cluster, pids: &[u32]) -> String {
    let mut batch = String::from("link set lo up\n");
    for (pod, pid) in cluster.pods.iter().zip(pids) {
        let (name, ip, node) = (&pod.name, pod.ip, cluster.node);
        let _ = write!(
            batch,
            "link add veth-{name} type veth peer name eth0 netns {pid}\n\
             addr add {node}/32 dev veth-{name}\n\
             link set veth-{name} up\n\
             route add {ip}/32 dev veth-{name}\n"
        );
    }
    batch
}

/// What kube-proxy makes of the Services.
fn rules(cluster: &Cluster) -> String {
    let mut nat = String::new();
    let mut filter = String::new();
    for service in &cluster.services {
        let protocols: &[&str] = if service.udp { &["tcp", "udp"] } else { &["tcp"] };
        for (protocol, port) in protocols.iter().flat_map(|p| service.ports.iter().map(move |port| (p, port)))
        {
            let matched = format!("-d {}/32 -p {protocol} --dport {}", service.ip, port.port);
            let _ = match cluster.endpoint(service) {
                Some(pod) => writeln!(
                    nat,
                    "-A PREROUTING {matched} -j DNAT --to-destination {}:{}",
                    pod.ip, port.target
                ),
                // No endpoint: kube-proxy refuses rather than leave the client waiting.
                None => writeln!(filter, "-A FORWARD {matched} -j REJECT"),
            };
        }
    }
    // An undefined port of a ClusterIP goes nowhere.
    filter.push_str("-A FORWARD -d 10.96.0.0/16 -j DROP\n");
    format!(
        "*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n{nat}COMMIT\n\
         *filter\n:FORWARD ACCEPT\n{filter}COMMIT\n"
    )
}
