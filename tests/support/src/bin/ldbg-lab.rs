//! The laboratory by hand.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    process::ExitCode,
};

use ldbg_testkit::{Lab, become_program};

const USAGE: &str = "\
usage: ldbg-lab run POD COMMAND [ARGUMENT...]    a command in a pod of a new laboratory
       ldbg-lab up      opens one and prints what is in it, a line each: 'service NAME ADDRESS',
                        'pod NAME ADDRESS COMMAND' (which runs its arguments in the pod), 'ready';
                        ends with its input
";

fn main() -> ExitCode {
    become_program();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ldbg-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> io::Result<ExitCode> {
    match args {
        [verb, pod, program, args @ ..] if verb == "run" => {
            let lab = Lab::start()?;
            let pod = pod.to_string_lossy();
            if lab.cluster().pod(&pod).is_none() {
                return Err(io::Error::other(format!("the laboratory has no pod {pod}")));
            }
            let status = lab.pod(&pod).command(program, args).status()?;
            Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)))
        }
        [verb] if verb == "up" => {
            let lab = Lab::start()?;
            let mut out = io::stdout().lock();
            for service in &lab.cluster().services {
                writeln!(out, "service {} {}", service.name, service.ip)?;
            }
            for pod in &lab.cluster().pods {
                write!(out, "pod {} {}", pod.name, pod.ip)?;
                // Without the program, which is the caller's to add.
                let enter = lab.pod(&pod.name).command("", [""; 0]);
                let words = [enter.get_program()].into_iter().chain(enter.get_args());
                for word in words.filter(|word| !word.is_empty()) {
                    write!(out, " {}", word.to_string_lossy())?;
                }
                writeln!(out)?;
            }
            writeln!(out, "ready")?;
            out.flush()?;
            io::stdin().read_to_end(&mut Vec::new())?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            io::stderr().write_all(USAGE.as_bytes())?;
            Ok(ExitCode::from(2))
        }
    }
}
