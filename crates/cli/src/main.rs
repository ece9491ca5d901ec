//! The command `peristyle`.
//!
//! Glue: it reads arguments, calls a library, and prints. What was asked for goes to stdout, everything else (progress,
//! warnings, errors) to stderr.
//!
//! # Rules
//! - Exit code 0 means done, 1 that it could not go on, 2 that it was asked wrongly; a script that is run has its own.
//!   What Ctrl-C or SIGTERM ends before it was done has 128 and the signal's number, as in shells.
//! - With `--json` stdout holds one line of JSON and nothing else.
//! - Progress bars are drawn only on a terminal.

#![forbid(unsafe_code)]

mod data_dir;
mod demo;
mod doctor;
mod ending;
mod gantt;
mod layout;
mod run;
mod test262;
mod types;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One world of entities on every core, in Rust, JavaScript and WebAssembly at once.
#[derive(Debug, Parser)]
#[command(name = "peristyle", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a demonstration.
    #[command(subcommand)]
    Demo(demo::Demo),
    /// Say what this machine has and what it lacks.
    Doctor(doctor::Doctor),
    /// Print where everything in a struct lies: offsets, columns, padding.
    Layout(layout::Layout),
    /// Run a script with workers, as Node does.
    Run(run::Run),
    Gantt(gantt::Gantt),
    Stats(gantt::StatsOf),
    Test262(test262::Test262),
    Types(types::Types),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Layout(layout) => layout.run(),
        Command::Run(run) => run.run(),
        Command::Gantt(gantt) => gantt.run(),
        Command::Stats(stats) => stats.run(),
        Command::Test262(test262) => test262.run(),
        Command::Types(types) => types.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
