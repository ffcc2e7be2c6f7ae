//! What decides how a name of this pod resolves: `/etc/resolv.conf` and `/etc/hosts`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    Hosts,
    config::{ResolverConfig, ResolverOpts},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};

/// glibc's `MAXNS`: servers beyond the third are never asked (resolv.conf(5)).
const MAX_SERVERS: usize = 3;
/// glibc's `RES_MAXNDOTS`.
const MAX_NDOTS: usize = 15;
/// glibc's `RES_MAXRETRY`.
const MAX_ATTEMPTS: usize = 5;
/// glibc's `RES_MAXRETRANS`.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
const DNS_PORT: u16 = 53;

/// The resolver's configuration, with the meaning that glibc gives it.
///
/// ```
/// let names = ldbg_probe::Names::from_text(
///     "search default.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5",
///     "127.0.0.1 localhost",
/// );
/// assert_eq!(names.servers(), ["10.96.0.10:53".parse()?]);
/// assert_eq!(names.search(), ["default.svc.cluster.local.", "svc.cluster.local."]);
/// assert_eq!(names.ndots(), 5);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Names {
    servers: Vec<SocketAddr>,
    search: Vec<Name>,
    options: ResolverOpts,
    /// As the file has it; hickory fills in a default.
    attempts: Option<usize>,
    hosts: Hosts,
}

impl Names {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`. A file that cannot be read is
    /// as good as an empty one, as for glibc: then the server is 127.0.0.1, and
    /// that server's silence is what the observation shows.
    pub fn from_system() -> Self {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let resolv_conf = read("/etc/resolv.conf");
        let (config, options) = parse(&resolv_conf);
        let mut names = Self::new(&config, options, &resolv_conf, &read("/etc/hosts"));
        if names.search.is_empty() {
            // "By default, the search list contains one entry, the local domain
            // name", which is what follows the first dot of the host's name.
            names.search.extend(config.domain().cloned());
        }
        names
    }

    /// From the text of the two files.
    pub fn from_text(resolv_conf: &str, hosts: &str) -> Self {
        let (config, options) = parse(resolv_conf);
        Self::new(&config, options, resolv_conf, hosts)
    }

    fn new(config: &ResolverConfig, options: ResolverOpts, resolv_conf: &str, hosts: &str) -> Self {
        let mut addresses: Vec<IpAddr> = config.name_servers().iter().map(|server| server.ip).collect();
        if addresses.len() > 1 {
            // The one that `parse` added.
            addresses.pop();
        }
        addresses.truncate(MAX_SERVERS);
        let mut table = Hosts::default();
        // Reading from memory cannot fail, and a line that makes no sense is skipped.
        let _ = table.read_hosts_conf(hosts.as_bytes());
        Self {
            servers: addresses.into_iter().map(|ip| (ip, DNS_PORT).into()).collect(),
            search: config.search().to_vec(),
            attempts: has_option(resolv_conf, "attempts:").then_some(options.attempts.clamp(1, MAX_ATTEMPTS)),
            options,
            hosts: table,
        }
    }

    /// The same, but asking `servers`: they may listen on other ports than 53.
    #[must_use]
    pub fn with_servers(self, servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..self }
    }

    /// Who is asked, in this order.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The search list, fully qualified.
    pub fn search(&self) -> Vec<String> {
        self.search.iter().map(|domain| crate::dns::absolute(domain).to_ascii()).collect()
    }

    /// A name with this many dots is tried as it is before the search list.
    pub fn ndots(&self) -> usize {
        self.options.ndots.min(MAX_NDOTS)
    }

    /// How often a server that does not answer is asked, if the file says so;
    /// tools differ in what they do where it does not.
    pub fn attempts(&self) -> Option<usize> {
        self.attempts
    }

    /// How long to wait for a server, as the file says or as is the default, 5 s.
    pub fn timeout(&self) -> Duration {
        self.options.timeout.clamp(Duration::from_secs(1), MAX_TIMEOUT)
    }

    pub(crate) fn search_domains(&self) -> &[Name] {
        &self.search
    }

    /// Whether queries carry an OPT record, which allows longer UDP answers.
    pub(crate) fn edns(&self) -> bool {
        self.options.edns0
    }

    /// What the hosts file says, A before AAAA. Like glibc's `files`: where it
    /// knows the name at all, no server is asked.
    pub(crate) fn hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            if let Some(found) = self.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
                addresses.extend(found.answers().iter().filter_map(|record| record.data.ip_addr()));
            }
        }
        addresses
    }
}

/// Parses with hickory, which takes no file without a server: glibc's default,
/// 127.0.0.1, is added behind whatever the text has.
fn parse(resolv_conf: &str) -> (ResolverConfig, ResolverOpts) {
    let with_default = |text: &str| format!("{text}\nnameserver {}\n", Ipv4Addr::LOCALHOST);
    parse_resolv_conf(with_default(resolv_conf))
        .or_else(|_| {
            // A search domain that is no name: without it the rest still counts.
            let usable: Vec<&str> = resolv_conf
                .lines()
                .filter(|line| !matches!(line.split_whitespace().next(), Some("search" | "domain")))
                .collect();
            parse_resolv_conf(with_default(&usable.join("\n")))
        })
        .unwrap_or_default()
}

fn has_option(resolv_conf: &str, option: &str) -> bool {
    resolv_conf.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("options") && words.any(|word| word.starts_with(option))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(resolv_conf: &str) -> Names {
        Names::from_text(resolv_conf, "")
    }

    #[test]
    fn no_name_server_line_means_the_local_host() {
        assert_eq!(names("search a.b").servers(), [(Ipv4Addr::LOCALHOST, 53).into()]);
        assert_eq!(names("").servers(), [(Ipv4Addr::LOCALHOST, 53).into()]);
    }

    #[test]
    fn a_fourth_name_server_is_never_asked() {
        let names = names("nameserver 192.0.2.1\nnameserver ::1\nnameserver 192.0.2.3\nnameserver 192.0.2.4");
        let ips: Vec<String> = names.servers().iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["192.0.2.1:53", "[::1]:53", "192.0.2.3:53"]);
    }

    #[test]
    fn the_last_of_search_and_domain_counts() {
        assert_eq!(names("search a.b c.d\ndomain e.f").search(), ["e.f."]);
        assert_eq!(names("domain e.f\nsearch a.b c.d.").search(), ["a.b.", "c.d."]);
    }

    #[test]
    fn options_have_glibc_s_defaults_and_bounds() {
        let plain = names("nameserver 192.0.2.1");
        assert_eq!((plain.ndots(), plain.attempts(), plain.edns()), (1, None, false));
        assert_eq!(plain.timeout(), Duration::from_secs(5));
        let wild = names("options ndots:99 attempts:99 timeout:99 edns0");
        assert_eq!((wild.ndots(), wild.attempts(), wild.edns()), (15, Some(5), true));
        assert_eq!(wild.timeout(), Duration::from_secs(30));
        assert_eq!(names("options attempts:0").attempts(), Some(1));
    }

    #[test]
    fn a_line_that_makes_no_sense_costs_only_itself() {
        let label = "a".repeat(64);
        let names = names(&format!(
            "# comment\nnonsense here\nsearch {label}.b\nnameserver 192.0.2.1\noptions ndots:3"
        ));
        assert_eq!(names.servers(), [([192, 0, 2, 1], 53).into()]);
        assert_eq!((names.search().len(), names.ndots()), (0, 3));
    }

    #[test]
    fn the_hosts_file_is_read_without_regard_to_case() {
        let names =
            Names::from_text("", "192.0.2.7 Frontend frontend.local # a comment\n::7 frontend\nnonsense\n");
        let name = Name::from_ascii("FRONTEND.").expect("a name");
        assert_eq!(
            names.hosts_file(&name),
            [IpAddr::from([192, 0, 2, 7]), "::7".parse().expect("an address")]
        );
    }
}
