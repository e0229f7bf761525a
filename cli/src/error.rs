//! What can go wrong for a person at a terminal, and what they can do next.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use runmesh_core::api::{ApiError, ErrorBody, ErrorCode};
use runmesh_core::bundle::BundleError;
use runmesh_core::ticket::TicketError;
use runmesh_daemon::backup::BackupError;
use runmesh_daemon::config::ConfigError;
use runmesh_daemon::daemon::DaemonError;
use runmesh_daemon::doctor::ExamineError;
use runmesh_daemon::home::HomeError;

use crate::text::clean;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("nothing was done: it was not confirmed")]
    NotConfirmed,
    #[error("no runmesh daemon is running for this home ({})", .home.display())]
    NoDaemon { home: PathBuf },
    #[error("the daemon of this home does not answer at {address}")]
    Ask { address: String, source: Box<ureq::Error> },
    #[error("the daemon answered what this program does not understand")]
    Answer { source: io::Error },
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Examine(#[from] ExamineError),
    #[error("cannot {doing} {}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is here already", .path.display())]
    Exists { path: PathBuf },
    #[error("an artifact has the path {path:?}, which leads out of the folder it belongs in")]
    UnsafePath { path: String },
    #[error("the daemon did not start; it said:\n{log}")]
    NotStarted { log: String, exit: u8 },
    #[error("the daemon does not stop; its pid is {pid}")]
    NotStopped { pid: u32 },
    #[error("cannot write")]
    Output(#[from] io::Error),
    #[error("cannot start the program {}", .path.display())]
    Spawn { path: PathBuf, source: io::Error },
    #[error("the daemon of device {device} refused: {message}")]
    Mlflow { device: &'static str, message: String },
    #[error("the two devices do not hold the same: {difference}")]
    NotTheSame { difference: String },
    #[error("not everything is as it should be")]
    Unsound,
    #[error("{} cannot be verified", .path.display())]
    NotAnAudit { path: PathBuf, source: BundleError },
    #[error("a daemon runs for the home {} already", .home.display())]
    HomeRuns { home: PathBuf },
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Ticket(#[from] TicketError),
    #[error("not all of the bundle could be taken in")]
    NotAllTaken,
    #[error("{text:?} is neither a bundle nor a date; write a date as in 2026-11-20")]
    NotASince { text: String },
    /// The program that was run ended so; it has said why.
    #[error("the program ended with {code}")]
    Program { code: u8 },
    #[error("the bundle of this job could not be left in {}", .folder.display())]
    NotLeft { folder: PathBuf, source: Box<Self> },
}

impl CliError {
    /// The exit code, as the help documents it.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NoDaemon { .. } => 3,
            Self::Home(HomeError::InUse { .. } | HomeError::TooNew { .. })
            | Self::Examine(ExamineError::Home(
                HomeError::InUse { .. } | HomeError::TooNew { .. },
            ))
            | Self::Daemon(DaemonError::PortInUse { .. })
            | Self::HomeRuns { .. }
            | Self::Exists { .. }
            | Self::Backup(
                BackupError::NotEmpty { .. }
                | BackupError::TooNew { .. }
                | BackupError::OtherWorkspace
                | BackupError::Refused(_),
            )
            | Self::NotConfirmed
            | Self::UnsafePath { .. } => 5,
            Self::Api(error) => match error.code {
                ErrorCode::NotFound => 4,
                ErrorCode::Refused | ErrorCode::Unauthorized => 5,
                ErrorCode::TimedOut => 6,
                ErrorCode::WrongDevice => 3,
                ErrorCode::Invalid => 2,
                ErrorCode::Unreachable | ErrorCode::Unavailable | ErrorCode::Internal => 1,
            },
            Self::Examine(ExamineError::Place(_)) => 4,
            Self::NotStarted { exit, .. } => *exit,
            Self::Program { code } => *code,
            Self::NotASince { .. } | Self::Ticket(_) => 2,
            _ => 1,
        }
    }

    /// What to do next.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDaemon { .. } => "start one with `runmesh up`",
            Self::HomeRuns { .. } => "stop it first: `runmesh down`",
            Self::NotConfirmed => "say --yes, where nobody can be asked",
            Self::Api(error) => return error.hint.clone(),
            Self::Ask { .. } => "see whether it is busy or hangs: `runmesh status`",
            Self::Answer { .. } => {
                "the daemon may be of another version; restart it: `runmesh down`, `runmesh up`"
            }
            Self::Exists { .. } => "replace it with --force, or choose another place with --output",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Tells the person, or with `json` the program, and returns the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        // Whoever read our output has seen enough: `runmesh runs | head`.
        if let Self::Output(error) = self
            && error.kind() == ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        if let Self::Program { code } = self {
            return ExitCode::from(*code);
        }
        let text = if json { self.as_json() } else { self.as_text() };
        // There is nobody left to tell if this fails.
        let _ = anstream::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit_code())
    }

    fn as_text(&self) -> String {
        let mut text = format!("\x1b[1;31merror\x1b[0m: {}\n", lines(&self.to_string()));
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!("  because: {}\n", lines(&error.to_string())));
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\x1b[1mnext\x1b[0m: {}\n", lines(&hint)));
        }
        text
    }

    fn as_json(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        let code = match self {
            Self::Api(error) => error.code,
            _ => match self.exit_code() {
                3 => ErrorCode::Unreachable,
                5 => ErrorCode::Refused,
                _ => ErrorCode::Internal,
            },
        };
        let body = ErrorBody { error: ApiError { code, message, hint: self.hint() } };
        let json = serde_json::to_string(&body).expect("strings are JSON");
        format!("{json}\n")
    }
}

/// Lines stay lines; everything else that could drive the terminal does not stay.
fn lines(text: &str) -> String {
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let error = CliError::NoDaemon { home: "/home/ann/x".into() };
        let text = error.as_text();
        assert!(text.contains("no runmesh daemon is running for this home (/home/ann/x)"));
        assert!(text.contains("`runmesh up`"));
        assert_eq!(error.exit_code(), 3);

        let source = io::Error::new(ErrorKind::PermissionDenied, "no\u{1b}[2J entry");
        let error = CliError::File { doing: "read", path: "a".into(), source };
        assert!(error.as_text().contains("because: no\\u{1b}[2J entry"));
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn programs_get_the_error_as_json() {
        let error = ApiError { code: ErrorCode::NotFound, message: "no".into(), hint: None };
        let error = CliError::from(error);
        assert_eq!(error.as_json(), "{\"error\":{\"code\":\"not_found\",\"message\":\"no\"}}\n");
        assert_eq!(error.exit_code(), 4);
    }
}
