//! Serves a zone until it is ended: `dns_server ADDRESS ZONE-FILE`. The address
//! it listens on is printed as one line, which is the sign that it is ready.

use std::{error::Error, io::Write};

use ldbg_testkit::DnsServer;

fn main() -> Result<(), Box<dyn Error>> {
    let [addr, zone] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: dns_server ADDRESS:PORT ZONE-FILE".into());
    };
    let server = DnsServer::on(addr.parse()?, std::fs::read_to_string(zone)?.parse()?)?;
    writeln!(std::io::stdout(), "{}", server.addr())?;
    server.run();
    Ok(())
}
