//! How many files and connections may be open at once.
//!
//! Systems start programs with room for 1024, out of caution for a function of old that nothing here
//! uses; a daemon that many clients keep connections to would soon accept no more.

/// Takes all the room that the system lets this process have.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Some systems take no "unlimited" for an answer. What there is does then.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("cannot raise the limit of open files: {error}");
    }
}

/// Takes all the room that the system lets this process have.
#[cfg(not(unix))]
pub(crate) fn raise_limit() {}
