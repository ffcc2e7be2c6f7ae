//! A diagnosis for people: 80 columns, the verdict first.

use ldbg_engine::{Diagnosis, Hop, HopState};
use ldbg_model::{Confidence, Report, Responder};

const WIDTH: usize = 80;
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";

/// The whole text.
pub(super) fn render(diagnosis: &Diagnosis, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    let report = &diagnosis.report;
    page.verdict(report);
    page.path(&diagnosis.path);
    page.list("evidence", report.evidence.iter().map(|one| format!("{}: {}", one.source, one.says)));
    page.list("ruled out", report.ruled_out.iter().map(|one| format!("{}: {}", one.code, one.because)));
    let undecided = report.verdict.candidates.iter();
    page.list("not excluded", undecided.map(|one| format!("{}: {}", one.code, one.decide)));
    page.list("not checked", report.not_checked.iter().map(|one| format!("{}: {}", one.what, one.because)));
    page.list("sent", report.probes_sent.iter().cloned());
    if report.verdict.code != "healthy" {
        page.list("fix", [report.verdict.fix.clone()]);
    }
    page.text
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn verdict(&mut self, report: &Report) {
        let verdict = &report.verdict;
        let colour = match verdict.confidence {
            Confidence::Undecided => YELLOW,
            _ if verdict.code == "healthy" => GREEN,
            _ => RED,
        };
        let sentence = format!("{}: {}", verdict.code, verdict.cause);
        for line in wrapped(&sentence, WIDTH, 0) {
            let line = self.painted(&line, &format!("{BOLD};{colour}"));
            self.line(&line);
        }
        let sure = match verdict.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Undecided => "not decided",
        };
        let who = match report.responder {
            Responder::OutboundProxy => "this pod's own proxy",
            Responder::InboundProxy => "the server's proxy",
            Responder::Application => "the application",
            Responder::Nobody => "nobody",
            Responder::ServerPod => "the server's pod: its proxy or its application",
        };
        self.line(&format!("{sure}; answered by: {who}"));
    }

    fn path(&mut self, hops: &[Hop]) {
        self.line("");
        let picture: Vec<String> =
            hops.iter().map(|hop| format!("{} {}", self.mark(hop.state), hop.name)).collect();
        self.line(&picture.join(" -> "));
        for hop in hops {
            let text = format!("{:<15}{}", hop.name, hop.figure);
            for line in wrapped(&text, WIDTH - 2, 15) {
                self.line(&format!("  {line}"));
            }
        }
    }

    fn mark(&self, state: HopState) -> String {
        match state {
            HopState::Passed => self.painted("\u{2713}", GREEN),
            HopState::Failed => self.painted("\u{2717}", RED),
            HopState::Unknown => self.painted("?", YELLOW),
            HopState::Absent => "-".into(),
        }
    }

    fn list(&mut self, title: &str, items: impl IntoIterator<Item = String>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        let title = self.painted(title, BOLD);
        self.line(&format!("\n{title}"));
        for item in items {
            for line in wrapped(&item, WIDTH - 2, 2) {
                self.line(&format!("  {line}"));
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Lines of `width` characters at most, the later ones indented; a word that is
/// longer stands alone. What came over the network cannot write on the terminal.
fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut clean = String::new();
    for c in text.chars() {
        if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut blank = true;
    for word in clean.split(' ') {
        let room = line.chars().count() + 1 + word.chars().count() <= width;
        if !blank && !room {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            blank = true;
        } else if !lines.is_empty() && blank {
            line = " ".repeat(indent);
        } else if !line.is_empty() || !blank {
            line.push(' ');
        }
        line.push_str(word);
        blank = blank && word.is_empty();
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_their_width_and_what_goes_on_is_indented() {
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrapped("averylongword b", 5, 1), ["averylongword", " b"]);
        assert_eq!(wrapped("app            not known", 30, 15), ["app            not known"]);
        assert_eq!(wrapped("", 8, 2), [""]);
    }

    #[test]
    fn nothing_from_the_network_writes_on_the_terminal() {
        assert_eq!(wrapped("a\u{1b}[2Jb\nc", 80, 0), ["a\\u{1b}[2Jb\\nc"]);
    }
}
