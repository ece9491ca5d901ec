//! The options of apps: how their frames are run, and who watches.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser};

/// Where a world is served unless told.
const ADDRESS: &str = "127.0.0.1:7070";
/// Most frames a second.
const HZ_MAX: f64 = 100_000.0;

/// How an app's frames are run.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct AppOptions {
    /// End after so many frames. Unless --hz is given they follow each other without waiting.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub(crate) ticks: Option<u64>,
    /// Frames a second: each moves the world by the Nth part of one [default: 60]
    #[arg(long, value_name = "N", value_parser = parse_hz, allow_negative_numbers = true)]
    pub(crate) hz: Option<f64>,
    /// Serve the app's world: the live page, and clients of peristyle/client [default address: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true, default_missing_value = ADDRESS)]
    pub(crate) serve: Option<SocketAddr>,
    /// Write a Chrome trace of the app's newest frames to this file when it ends.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Load jobs again between two frames when their files are written. The world stays as it is, and the app's main module
    /// is not run again.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Options that follow the script.
#[derive(Debug, Parser)]
#[command(name = "peristyle run", no_binary_name = true)]
struct After {
    #[command(flatten)]
    app: AppOptions,
}

fn parse_hz(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hz) if hz > 0.0 && hz <= HZ_MAX => Ok(hz),
        Ok(_) => Err(format!("frames a second are more than 0 and at most {HZ_MAX}")),
        Err(_) => Err("this is no number".into()),
    }
}

impl AppOptions {
    /// Those that were given, by name: each is about frames.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let options = [
            ("--ticks", self.ticks.is_some()),
            ("--hz", self.hz.is_some()),
            ("--serve", self.serve.is_some()),
            ("--trace", self.trace.is_some()),
            ("--watch", self.watch),
        ];
        options.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    /// Takes these options out of what follows a script. One that was given before stays unless it is given again.
    pub(crate) fn take(self, arguments: Vec<String>) -> Result<(AppOptions, Vec<String>), clap::Error> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, has_value) = argument.split_once('=').map_or((&*argument, false), |(name, _)| (name, true));
            match name {
                "--" => {
                    theirs.extend(arguments);
                    break;
                }
                "--ticks" | "--hz" | "--trace" if !has_value => {
                    ours.push(argument);
                    ours.extend(arguments.next());
                }
                "--ticks" | "--hz" | "--trace" | "--serve" | "--watch" => ours.push(argument),
                _ => theirs.push(argument),
            }
        }
        let After { app } = After::try_parse_from(ours)?;
        let app = AppOptions {
            ticks: app.ticks.or(self.ticks),
            hz: app.hz.or(self.hz),
            serve: app.serve.or(self.serve),
            trace: app.trace.or(self.trace),
            watch: app.watch || self.watch,
        };
        Ok((app, theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(arguments: &[&str]) -> (AppOptions, Vec<String>) {
        let before = AppOptions { ticks: Some(1), ..AppOptions::default() };
        before.take(arguments.iter().map(|&argument| argument.to_owned()).collect()).expect("they can be parsed")
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        AppOptions::default().take(arguments).expect_err("they cannot be parsed").to_string()
    }

    #[test]
    fn options_of_apps_may_follow_the_script() {
        let (app, rest) = taken(&["x", "--ticks", "10", "--hz=30", "--serve", "--watch", "--allow-read", "y"]);
        assert_eq!(rest, ["x", "--allow-read", "y"]);
        assert_eq!((app.ticks, app.hz, app.watch), (Some(10), Some(30.0), true));
        assert_eq!(app.serve.map(|address| address.to_string()).as_deref(), Some(ADDRESS));
        let (app, rest) = taken(&["--serve=0.0.0.0:80", "--trace", "a.json", "--", "--watch", "--ticks", "x"]);
        assert_eq!((app.ticks, app.watch, rest.len()), (Some(1), false, 3), "what was given before stays");
        assert_eq!(app.serve.map(|address| address.port()), Some(80));
        assert_eq!(app.trace, Some("a.json".into()));
    }

    #[test]
    fn wrong_values_are_told_with_their_option() {
        for (arguments, told) in [
            (&["--ticks", "0"][..], "--ticks <N>"),
            (&["--ticks"], "--ticks <N>"),
            (&["--ticks", "-3"], "--ticks <N>"),
            (&["--ticks", "1.5"], "--ticks <N>"),
            (&["--hz", "0"], "more than 0"),
            (&["--hz", "-1"], "more than 0"),
            (&["--hz", "NaN"], "more than 0"),
            (&["--hz", "many"], "no number"),
            (&["--serve=here"], "--serve"),
            (&["--watch=yes"], "--watch"),
        ] {
            let why = refused(arguments);
            assert!(why.contains(told), "{arguments:?}: {why}");
        }
    }
}
