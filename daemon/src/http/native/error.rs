//! What can go wrong with a request of the native API, and how it is told.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runmesh_core::action::{ModelRefusal, Refusal};
use runmesh_core::api::{ApiError, ErrorBody, ErrorCode};
use runmesh_core::audit::BadCursor;
use runmesh_core::conflicts::NotSettled;
use runmesh_core::membership::NotYours;
use runmesh_core::search::SearchError;
use runmesh_core::store::StoreError;
use runmesh_core::ticket::{ParseContactError, TicketError};

use crate::WriteError;
use crate::backup::BackupError;
use crate::blobs::{BlobError, NotFetched};
use crate::bundle::{ExportError, ImportError};
use crate::causes::with_causes;
use crate::collect::CollectError;
use crate::copy::CopyError;
use crate::home::HomeError;
use crate::http::mlflow::download::NotSent;
use crate::mesh::{JoinError, MembersError};
use crate::places::{BadPlaceName, PlaceError};
use crate::workspaces::WorkspacesError;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum Error {
    #[error("this daemon has no such route; it is runmesh {}", env!("CARGO_PKG_VERSION"))]
    NoSuchRoute,
    #[error("another device listens here")]
    WrongDevice,
    #[error("the token of this home is needed")]
    Unauthorized,
    #[error("the request cannot be read: {0}")]
    Invalid(String),
    #[error("no experiment has the name or id {0:?}")]
    NoSuchExperiment(String),
    #[error("the search cannot be understood")]
    Search(#[from] SearchError),
    #[error("no run has an id that starts with {0:?}")]
    NoSuchRun(String),
    #[error("{0:?} is not the start of a run's id")]
    NotARun(String),
    #[error("{count} runs and more have an id that starts with {start:?}")]
    Ambiguous { start: String, count: usize },
    #[error("run {run} has no artifact {path:?}")]
    NoSuchArtifact { run: String, path: String },
    #[error("logged model {model:?} has no artifact {path:?}")]
    NoSuchModelFile { model: String, path: String },
    #[error("no logged model has the id {0:?}")]
    NoSuchLoggedModel(String),
    #[error("run {run} has no model at {path:?}: there is no MLmodel file")]
    NoModel { run: String, path: String },
    #[error(
        "{name:?} would take or give something else than version {previous} does:\n{}",
        .changes.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    )]
    SignatureChanged { name: String, previous: String, changes: Vec<String> },
    #[error("no device is called {0:?}, or more than one is")]
    NoSuchDevice(String),
    #[error(transparent)]
    BadCursor(#[from] BadCursor),
    #[error("nothing is in conflict that is called {0:?}, or has that key")]
    NoSuchConflict(String),
    #[error("several conflicts are called {0:?}")]
    ConflictAmbiguous(String),
    #[error(transparent)]
    NotSettled(#[from] NotSettled),
    #[error("{0:?} cannot be the path of an artifact")]
    BadPath(String),
    #[error("{0:?} is not the hash of a blob")]
    NotAHash(String),
    #[error("{0} is not pinned")]
    NotPinned(String),
    #[error("run {0} is not deleted; only deleted runs can be purged")]
    NotDeleted(String),
    #[error("{given} {what} are more than one request may have, which is {limit}")]
    TooMany { what: &'static str, given: usize, limit: usize },
    #[error("{what} is longer than {limit} characters")]
    TooLong { what: &'static str, limit: usize },
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{0:?} is no column: write metrics.KEY, params.KEY or tags.KEY")]
    NotAColumn(String),
    #[error("another page may not write here")]
    ForeignPage,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("this daemon has no sessions with other devices")]
    NoMesh,
    #[error("no other device is in this workspace")]
    Alone,
    #[error("time is up, and no other device was connected")]
    NobodyConnected,
    #[error("time is up: {agreeing} of {connected} connected devices hold the same as this one")]
    NotSynced { connected: usize, agreeing: usize },
    #[error("time is up: {fetched} blobs came, and not all")]
    BlobsNotSynced { fetched: u64 },
    #[error(transparent)]
    Ticket(#[from] TicketError),
    #[error(transparent)]
    Contact(#[from] ParseContactError),
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Workspaces(#[from] WorkspacesError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("a run cannot be copied to where it is")]
    CopyToItself,
    #[error(transparent)]
    PlaceName(#[from] BadPlaceName),
    #[error("this daemon holds one workspace, and no list")]
    NoWorkspaces,
    #[error(transparent)]
    Fetch(#[from] NotFetched),
    #[error("the file cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("the disk cannot be measured")]
    Disk(#[source] std::io::Error),
    #[error("the request's work broke off")]
    Died(#[source] tokio::task::JoinError),
}

impl From<NotSent> for Error {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::Fetch(error) => Self::Fetch(error),
            NotSent::Read(error) => Self::Unreadable(error),
        }
    }
}

impl Error {
    const fn code(&self) -> ErrorCode {
        match self {
            Self::NoSuchRoute
            | Self::NoSuchRun(_)
            | Self::Ambiguous { .. }
            | Self::NoSuchDevice(_)
            | Self::NoSuchConflict(_)
            | Self::NotPinned(_)
            | Self::ConflictAmbiguous(_)
            | Self::NoSuchExperiment(_)
            | Self::NoModel { .. }
            | Self::NoSuchModelFile { .. }
            | Self::NoSuchLoggedModel(_)
            | Self::Write(WriteError::Refused(Refusal::Model(
                ModelRefusal::NoSuchModel(_) | ModelRefusal::NoSuchVersion { .. },
            )))
            | Self::NoSuchArtifact { .. }
            | Self::Members(
                MembersError::NoSuchDevice(_)
                | MembersError::NoSuchTicket(_)
                | MembersError::Ambiguous { .. }
                | MembersError::NotYours(NotYours::NotAMember),
            ) => ErrorCode::NotFound,
            Self::Workspaces(error) => workspaces_code(error),
            Self::Copy(error) => copy_code(error),
            Self::SignatureChanged { .. } => ErrorCode::Refused,
            Self::WrongDevice => ErrorCode::WrongDevice,
            Self::Alone
            | Self::NotDeleted(_)
            | Self::ForeignPage
            | Self::Members(
                MembersError::NotYours(_) | MembersError::LastAdmin | MembersError::Recovery,
            ) => ErrorCode::Refused,
            Self::NobodyConnected => ErrorCode::Unreachable,
            Self::NotSynced { .. } | Self::BlobsNotSynced { .. } => ErrorCode::TimedOut,
            Self::Join(error) => join_code(error),
            Self::Fetch(NotFetched::Nobody { .. }) => ErrorCode::Unreachable,
            Self::NoMesh | Self::NoWorkspaces | Self::Fetch(NotFetched::GivenUp { .. }) => {
                ErrorCode::Unavailable
            }
            Self::Members(MembersError::OneName | MembersError::NameTooLong) => ErrorCode::Invalid,
            Self::Members(_) | Self::Fetch(_) => ErrorCode::Internal,
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::NotSettled(NotSettled::Store(_)) => ErrorCode::Internal,
            Self::Invalid(_)
            | Self::BadCursor(_)
            | Self::NotSettled(_)
            | Self::Contact(_)
            | Self::TooMany { .. }
            | Self::TooLong { .. }
            | Self::Empty { .. }
            | Self::NotAColumn(_)
            | Self::NotARun(_)
            | Self::BadPath(_)
            | Self::NotAHash(_)
            | Self::Search(_)
            | Self::PlaceName(_)
            | Self::CopyToItself
            | Self::Ticket(_) => ErrorCode::Invalid,
            Self::Blob(BlobError::UploadBroken { .. } | BlobError::TooLarge { .. }) => {
                ErrorCode::Invalid
            }
            Self::Write(WriteError::Refused(_)) => ErrorCode::Refused,
            Self::Write(WriteError::DiskFull { .. } | WriteError::Stopping)
            | Self::Blob(BlobError::DiskFull { .. } | BlobError::Busy { .. }) => {
                ErrorCode::Unavailable
            }
            Self::Import(ImportError::OtherWorkspace { .. }) => ErrorCode::Refused,
            Self::Import(ImportError::Bundle(_) | ImportError::Sealed(_)) => ErrorCode::Invalid,
            Self::Collect(CollectError::Busy) => ErrorCode::Unavailable,
            Self::Home(_)
            | Self::Backup(_)
            | Self::Collect(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Store(_)
            | Self::Write(_)
            | Self::Blob(_)
            | Self::Disk(_)
            | Self::Unreadable(_)
            | Self::Died(_) => ErrorCode::Internal,
        }
    }

    const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSuchRoute => "the program that asks is of another version than the daemon",
            Self::Unauthorized => "`runmesh token` prints it to who may read the home",
            Self::NoSuchRun(_) | Self::NotARun(_) => "`runmesh runs` lists the runs that are here",
            Self::NoSuchConflict(_) | Self::ConflictAmbiguous(_) => {
                "`runmesh conflicts` lists them, with their ids"
            }
            Self::NotPinned(_) => "`runmesh pins` lists what is",
            Self::Ambiguous { .. } => "give more digits of the id",
            Self::NoModel { .. } => {
                "`runmesh artifacts ls RUN` lists what it has; --path says where the model is"
            }
            Self::SignatureChanged { .. } => {
                "callers must change, so say --bump major; --force registers it all the same"
            }
            Self::Write(WriteError::Refused(Refusal::Model(refusal))) => match refusal {
                ModelRefusal::NoSuchModel(_) => "`runmesh models ls` lists those that are here",
                ModelRefusal::NoSuchVersion { .. } => {
                    "`runmesh models show NAME` lists the versions that are here"
                }
                ModelRefusal::Contested { .. } | ModelRefusal::SemverAmbiguous { .. } => {
                    "`runmesh models show NAME` lists both; name one by its id, or have it keep its \
                     number: `runmesh models resolve NAME --keep ID`"
                }
                ModelRefusal::NameTaken(_) | ModelRefusal::SemverTaken { .. } => return None,
            },
            Self::Workspaces(WorkspacesError::Place(PlaceError::NoSuch(_))) => {
                "`runmesh workspace list` lists those that are here"
            }
            Self::Workspaces(WorkspacesError::Place(PlaceError::Current(_))) => {
                "choose another first: `runmesh workspace use NAME`"
            }
            Self::NoSuchExperiment(_) => "`runmesh experiments` lists those that are here",
            Self::Search(_) => "write, for example: metrics.loss < 0.1 and params.model = 'cnn'",
            Self::NoSuchArtifact { .. } => "`runmesh artifacts ls RUN` lists those of a run",
            Self::Alone => "`runmesh invite` prints a ticket for another one",
            Self::NoSuchDevice(_)
            | Self::Members(MembersError::NoSuchDevice(_) | MembersError::Ambiguous { .. }) => {
                "`runmesh members` lists all, with their ids"
            }
            Self::Members(MembersError::NoSuchTicket(_)) => "`runmesh members` lists open tickets",
            Self::Import(ImportError::OtherWorkspace { .. }) => {
                "join its workspace first: `runmesh join --unmet TICKET`, then import it again"
            }
            Self::NobodyConnected => "`runmesh peers` says why",
            Self::NotSynced { .. } | Self::BlobsNotSynced { .. } => {
                "it goes on by itself; `runmesh peers` says how far it is"
            }
            Self::Fetch(_) => {
                "connect a device that has them (`runmesh peers`), or wait: `runmesh sync --wait`"
            }
            Self::Store(_) | Self::Write(WriteError::Store(_)) => {
                "`runmesh doctor` says what is broken"
            }
            _ => return None,
        })
    }
}

const fn join_code(error: &JoinError) -> ErrorCode {
    match error {
        JoinError::AlreadyIn
        | JoinError::Expired
        | JoinError::OnlyReads { .. }
        | JoinError::Refused { .. } => ErrorCode::Refused,
        JoinError::Unreachable { .. } | JoinError::Failed(_) => ErrorCode::Unreachable,
        JoinError::NoMesh => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    }
}

const fn copy_code(error: &CopyError) -> ErrorCode {
    match error {
        CopyError::NoRun(_) => ErrorCode::NotFound,
        CopyError::ExperimentDeleted(_)
        | CopyError::CopyDeleted(_)
        | CopyError::Write(WriteError::Refused(_)) => ErrorCode::Refused,
        CopyError::Artifact { .. } => ErrorCode::Unreachable,
        CopyError::Write(WriteError::DiskFull { .. } | WriteError::Stopping)
        | CopyError::Blob(BlobError::DiskFull { .. } | BlobError::Busy { .. }) => {
            ErrorCode::Unavailable
        }
        _ => ErrorCode::Internal,
    }
}

const fn workspaces_code(error: &WorkspacesError) -> ErrorCode {
    match error {
        WorkspacesError::Place(PlaceError::NoSuch(_)) => ErrorCode::NotFound,
        WorkspacesError::Place(_) => ErrorCode::Refused,
        WorkspacesError::Join(error) => join_code(error),
        _ => ErrorCode::Internal,
    }
}

const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Invalid => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Refused => StatusCode::CONFLICT,
        ErrorCode::WrongDevice => StatusCode::MISDIRECTED_REQUEST,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::Unreachable => StatusCode::BAD_GATEWAY,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::TimedOut => StatusCode::GATEWAY_TIMEOUT,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code();
        let message = with_causes(&self);
        if code == ErrorCode::Internal {
            tracing::error!("{message}");
        }
        let hint = self.hint().map(str::to_owned);
        let body = ErrorBody { error: ApiError { code, message, hint } };
        (status(code), Json(body)).into_response()
    }
}
