//! The text format of metrics pages (Prometheus exposition format 0.0.4, and
//! what OpenMetrics 1.0 adds to a line), read as Linkerd's proxies of all
//! versions write it: labels in any order, families unsorted and interleaved.
//!
//! A page comes over the network from a process that may be broken, so no input
//! is an error: what is not a sample is counted and left out.

use std::{borrow::Cow, collections::HashMap};

use ldbg_model::{MetricsDelta, Sample};

/// More series than a proxy with hundreds of destinations has. A page that is
/// made of tiny lines cannot make the reader big.
const MAX_SAMPLES: usize = 250_000;

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The series, in the page's order.
    pub samples: Vec<Sample>,
    /// Lines that are no samples, comments aside.
    pub malformed_lines: u64,
    /// Whether the page has more samples than are kept.
    pub cut: bool,
}

/// Reads a whole page.
pub fn parse(text: &str) -> Page {
    parse_only(text, |_| true)
}

/// Reads the metrics whose name is `wanted`. Lines of others are not looked at
/// beyond their name, which makes this the cheap way through a big page.
pub fn parse_only(text: &str, wanted: impl Fn(&str) -> bool) -> Page {
    let mut page = Page::default();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) =
            line.split_at(line.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(line.len()));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            page.malformed_lines += 1;
        } else if wanted(name) {
            match series(name, rest) {
                None => page.malformed_lines += 1,
                Some(_) if page.samples.len() == MAX_SAMPLES => {
                    page.cut = true;
                    break;
                }
                Some(sample) => page.samples.push(sample),
            }
        }
    }
    page
}

/// What moved from one reading to a later one.
pub fn delta(before: &[Sample], after: &[Sample]) -> MetricsDelta {
    let started = |samples: &[Sample]| {
        samples.iter().find(|sample| sample.name == "process_start_time_seconds").map(|sample| sample.value)
    };
    let restarted = matches!((started(before), started(after)), (Some(a), Some(b)) if a != b);
    let earlier: HashMap<_, f64> = match restarted {
        true => HashMap::new(),
        false => before.iter().map(|sample| ((&sample.name, &sample.labels), sample.value)).collect(),
    };
    let changed = after.iter().filter_map(|sample| {
        let value = sample.value - earlier.get(&(&sample.name, &sample.labels)).unwrap_or(&0.0);
        (value != 0.0 && !value.is_nan()).then(|| Sample { value, ..sample.clone() })
    });
    MetricsDelta { changed: changed.collect(), restarted }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// `{name="value",...} number [time]`, all that follows a metric's name.
fn series(name: &str, rest: &str) -> Option<Sample> {
    let mut sample = Sample { name: name.to_owned(), labels: Default::default(), value: 0.0 };
    let mut rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        loop {
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (name, quoted) = rest.split_once('=')?;
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return None;
            }
            let (value, behind) = unquote(quoted.trim_start().strip_prefix('"')?)?;
            // The same label twice makes the line ambiguous.
            if sample.labels.insert(name.to_owned(), value.into_owned()).is_some() {
                return None;
            }
            rest = behind.trim_start();
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind.trim_start(),
                None if rest.starts_with('}') => {}
                None => return None,
            }
        }
    }
    let mut words = rest.split_ascii_whitespace();
    sample.value = words.next()?.parse().ok()?;
    // A time may follow, and behind a `#` an exemplar.
    match words.next() {
        Some(word) if word != "#" && word.parse::<f64>().is_err() => None,
        _ => Some(sample),
    }
}

/// The value up to its closing quote, and what follows the quote.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    // Nearly all values have nothing escaped.
    let (plain, behind) = text.split_once('"')?;
    if !plain.as_bytes().contains(&b'\\') {
        return Some((plain.into(), behind));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value.into(), &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Option<Sample> {
        let mut page = parse(line);
        assert_eq!(page.samples.len() as u64 + page.malformed_lines, 1, "{line:?}");
        page.samples.pop()
    }

    fn labels(line: &str) -> Vec<(String, String)> {
        one(line).expect(line).labels.into_iter().collect()
    }

    #[test]
    fn labels_mean_the_same_in_any_order() {
        assert_eq!(one(r#"a{x="1",y="2"} 3"#), one(r#"a { y="2" , x="1", } 3.0 1795354326"#));
        assert_eq!(one("a 3").expect("a sample").value, 3.0);
        assert_eq!(one("a{} 3"), one("a 3"));
    }

    #[test]
    fn what_stands_in_quotes_is_taken_as_it_is_meant() {
        let line = r#"a{p="}, {\"k\"=\\ \n ä \d",q=""} 1"#;
        assert_eq!(
            labels(line),
            [("p".to_owned(), "}, {\"k\"=\\ \n ä \\d".to_owned()), ("q".to_owned(), String::new())]
        );
    }

    #[test]
    fn numbers_are_what_go_prints() {
        for (text, value) in [("1e3", 1000.0), ("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY)] {
            assert_eq!(one(&format!("a {text}")).expect(text).value, value);
        }
        assert!(one("a NaN").expect("a sample").value.is_nan());
        assert_eq!(one(r#"a_total 5 # {trace="x"} 1"#).expect("an exemplar").value, 5.0);
    }

    #[test]
    fn what_is_not_a_sample_is_counted_and_left_out() {
        for line in [
            "a",
            "a{",
            "a{}",
            "a{x} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\"y=\"2\"} 1",
            "a{x=\"1\\",
            "a{=\"1\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a one",
            "a 1 two",
            "1a 1",
            "<html>",
            "a{x=\"1\"",
            "ä 1",
            "{\"a\":1}",
        ] {
            assert_eq!(one(line), None, "{line}");
        }
        assert_eq!(parse("# HELP a b\n# TYPE a counter\n\n  \n# EOF\n"), Page::default());
    }

    #[test]
    fn any_beginning_of_a_line_is_read_without_a_panic() {
        let line = r#"a{p="}, {\"k\"=\\ \n ä",q=""} 1 2 # {x="y"} 3"#;
        for (cut, _) in line.char_indices() {
            let page = parse(&line[..cut]);
            assert!(page.samples.len() <= 1);
        }
    }

    #[test]
    fn a_page_without_end_does_not_make_the_reader_big() {
        let page = parse(&"a 1\n".repeat(MAX_SAMPLES + 1));
        assert_eq!((page.samples.len(), page.cut), (MAX_SAMPLES, true));
    }

    #[test]
    fn unwanted_metrics_are_passed_over() {
        let page = parse_only("a 1\nab{ 1\nb 2\n", |name| name == "b");
        assert_eq!((page.samples.len(), page.malformed_lines), (1, 0));
    }

    #[test]
    fn a_delta_tells_what_moved_and_counts_new_series_from_zero() {
        let before = parse("process_start_time_seconds 1\na{x=\"1\"} 3\nb 4\nc 1\n").samples;
        let after = parse("process_start_time_seconds 1\nb 4\na{x=\"1\"} 5\na{x=\"2\"} 1\nc NaN\n").samples;
        let delta = delta(&before, &after);
        assert!(!delta.restarted);
        assert_eq!(delta.changed, parse("a{x=\"1\"} 2\na{x=\"2\"} 1\n").samples);
    }

    #[test]
    fn after_a_restart_everything_counts_from_zero() {
        let before = parse("process_start_time_seconds 1\na 3\n").samples;
        let after = parse("process_start_time_seconds 9\na 4\n").samples;
        let delta = delta(&before, &after);
        assert!(delta.restarted);
        assert_eq!(delta.changed, after);
    }
}
