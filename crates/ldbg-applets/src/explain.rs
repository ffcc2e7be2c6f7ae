//! `ldbg explain`: the manual page of a verdict's code.

use std::ffi::OsString;

use ldbg_diagnose::{RULES, Rule, explain};
use lexopt::Parser;

use crate::{Applet, Ctx, Exit, Failure, failure::option_name};

pub(crate) const APPLET: Applet = Applet {
    name: "explain",
    symlink: false,
    summary: "what a verdict's code means: symptom, proof, what it is confused with, fix",
    usage: "\
usage: ldbg explain CODE
       ldbg explain --list    every code, with what one sees
       ldbg explain --json [CODE]    the same as JSON
",
    run,
};

fn run(ctx: &mut Ctx<'_>, args: Vec<OsString>) -> Result<Exit, Failure> {
    let (mut code, mut list, mut json) = (None, false, false);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            lexopt::Arg::Long("list") => list = true,
            lexopt::Arg::Long("json") => json = true,
            lexopt::Arg::Value(value) if code.is_none() => code = Some(value.to_string_lossy().into_owned()),
            other => {
                let name = option_name(&other);
                return Err(Failure::usage(format!(
                    "{name:?} is one too many (ldbg explain CODE, or --list)"
                )));
            }
        }
    }
    let rules: Vec<&Rule> = match &code {
        Some(code) => vec![explain(code).ok_or_else(|| {
            Failure::usage(format!("no verdict is called {code:?} (ldbg explain --list names them)"))
        })?],
        None if list || json => RULES.iter().collect(),
        None => return Err(Failure::usage("expected a verdict's code, or --list")),
    };
    if json {
        let pages: Vec<_> = rules.into_iter().map(page).collect();
        let text = serde_json::to_string_pretty(&pages)
            .map_err(|error| Failure::new(1, format!("cannot write JSON: {error}")))?;
        writeln!(ctx.out, "{text}")?;
    } else if code.is_none() {
        for rule in rules {
            writeln!(ctx.out, "{:<26} {}", rule.code, rule.symptom)?;
        }
    } else {
        for rule in rules {
            writeln!(ctx.out, "{}", rule.code)?;
            let parts = [
                ("symptom", rule.symptom),
                ("proof", rule.proof),
                ("confused with", rule.confused_with),
                ("fix", rule.fix),
            ];
            for (title, text) in parts {
                writeln!(ctx.out, "\n{title}")?;
                for line in wrap(text, 76) {
                    writeln!(ctx.out, "    {line}")?;
                }
            }
        }
    }
    Ok(Exit::OK)
}

fn page(rule: &Rule) -> serde_json::Value {
    serde_json::json!({
        "code": rule.code,
        "side": rule.side,
        "symptom": rule.symptom,
        "proof": rule.proof,
        "confused_with": rule.confused_with,
        "fix": rule.fix,
    })
}

/// Lines of at most `width` characters, broken at blanks; a longer word stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn long_text_is_broken_at_blanks_and_a_long_word_stays_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible no", 5), ["incomprehensible", "no"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
