//! The interfaces in libpcap's order (`get_figure_of_merit`): those that are up, by
//! the number in their names, then `any`, loopback, the rest.

use std::io::Write;

use ldbg_sys::{Interface, interfaces};

use crate::{Exit, Failure};

const ANY: &str = "any";
const ANY_LINE: &str = "any (Pseudo-device that captures on all interfaces) [Up, Running]";

/// Prints the list of `-D`.
pub(super) fn list(out: &mut dyn Write) -> Result<Exit, Failure> {
    for (number, device) in all()?.iter().enumerate() {
        let line = device.as_ref().map_or_else(|| ANY_LINE.into(), describe);
        writeln!(out, "{}.{line}", number + 1)?;
    }
    Ok(Exit::OK)
}

/// The name of the interface that was asked for by name or number; without one,
/// that of the first.
pub(super) fn choose(asked: Option<&str>) -> Result<String, Failure> {
    let all = all()?;
    let name = |device: &Option<Interface>| device.as_ref().map_or(ANY, |i| i.name.as_str()).to_owned();
    let Some(asked) = asked else {
        return Ok(all.first().map_or_else(|| ANY.into(), name));
    };
    // A name of digits is a name.
    if all.iter().flatten().any(|interface| interface.name == asked) {
        return Ok(asked.into());
    }
    match asked.parse::<usize>() {
        Ok(number) => number.checked_sub(1).and_then(|index| all.get(index)).map(name).ok_or_else(|| {
            Failure::new(1, format!("Invalid adapter index {number} (tcpdump -D lists them)"))
        }),
        Err(_) => Ok(asked.into()),
    }
}

/// `None` is `any`.
fn all() -> Result<Vec<Option<Interface>>, Failure> {
    let found = interfaces().map_err(|error| Failure::new(1, format!("list the interfaces: {error}")))?;
    Ok(order(found))
}

fn order(found: Vec<Interface>) -> Vec<Option<Interface>> {
    let mut devices: Vec<_> = found.into_iter().map(Some).chain([None]).collect();
    // A stable sort: among equals, the kernel's order.
    devices.sort_by_key(|device| match device {
        Some(i) => (!i.running, !i.up, i.loopback, false, number_in(&i.name)),
        None => (false, false, false, true, 0),
    });
    devices
}

/// The number that an interface's name ends in.
fn number_in(name: &str) -> u64 {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name[letters..].parse().unwrap_or(0)
}

fn describe(interface: &Interface) -> String {
    let mut states = Vec::new();
    if interface.up {
        states.push("Up");
    }
    if interface.running {
        states.push("Running");
    }
    if interface.loopback {
        states.push("Loopback");
    } else if interface.up {
        states.push(if interface.running { "Connected" } else { "Disconnected" });
    }
    if states.is_empty() {
        states.push("none");
    }
    format!("{} [{}]", interface.name, states.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, up: bool, loopback: bool) -> Interface {
        Interface { name: name.into(), index, hardware: 1, up, running: up, loopback }
    }

    #[test]
    fn what_is_up_comes_before_any_and_loopback() {
        let found = vec![
            interface("lo", 1, true, true),
            interface("ifb0", 2, false, false),
            interface("eth1", 3, true, false),
            interface("eth0", 4, true, false),
        ];
        let lines: Vec<_> =
            order(found).iter().map(|d| d.as_ref().map_or_else(|| ANY_LINE.into(), describe)).collect();
        assert_eq!(
            lines,
            [
                "eth0 [Up, Running, Connected]",
                "eth1 [Up, Running, Connected]",
                ANY_LINE,
                "lo [Up, Running, Loopback]",
                "ifb0 [none]"
            ]
        );
    }
}
