//! The client: asks the daemon of a home, over HTTP.
//!
//! Invariant: every request names the device it means, so that a daemon of another home that
//! came to listen at the same address refuses it.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runmesh_core::api::{self, DaemonFile, ErrorBody, ErrorCode};
use runmesh_daemon::home;
use runmesh_daemon::places::PlaceName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder, SendBody};

use crate::error::CliError;

/// Asks the daemon of one home.
pub(crate) struct Client {
    agent: Agent,
    home: PathBuf,
    daemon: DaemonFile,
    address: String,
    token: String,
    /// What stands before every path: the workspace, if one is named.
    place: String,
}

impl Client {
    /// A client of the daemon that runs for the home at `path`.
    pub(crate) fn of_home(path: &Path) -> Result<Self, CliError> {
        let no_daemon = || CliError::NoDaemon { home: path.to_owned() };
        let daemon = home::daemon_of(path)?.ok_or_else(no_daemon)?;
        let token = home::token_of(path)?.ok_or_else(no_daemon)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build()
            .into();
        let address = reachable(&daemon.http);
        let (home, place) = (path.to_owned(), String::new());
        Ok(Self { agent, home, daemon, address, token, place })
    }

    /// The same client, for requests in one of the device's workspaces.
    pub(crate) fn in_workspace(mut self, name: Option<&PlaceName>) -> Self {
        self.place = name.map(|name| format!("{}{name}", api::PLACES)).unwrap_or_default();
        self
    }

    /// What stands before every path in the workspace that is asked in.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Where the daemon listens: host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The home.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The token of the home.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The daemon.
    pub(crate) const fn daemon(&self) -> &DaemonFile {
        &self.daemon
    }

    /// Asks for JSON.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        let request = self.agent.get(self.url(path)).query_pairs(query.iter().copied());
        self.read(self.sign(request).call())
    }

    /// Sends JSON and reads JSON.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.read(self.sign(self.agent.post(self.url(path))).send_json(body))
    }

    /// Has something removed and reads JSON.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.sign(self.agent.delete(self.url(path))).call())
    }

    /// Asks for bytes; returns their number, where it is known, and a reader.
    pub(crate) fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(Option<u64>, impl Read + use<>), CliError> {
        let request = self.agent.get(self.url(path)).query_pairs(query.iter().copied());
        let body = self.check(self.sign(request).call())?.into_body();
        Ok((body.content_length(), body.into_reader()))
    }

    /// Sends JSON and reads bytes, as they come.
    pub(crate) fn post_for_bytes<T: Serialize>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<impl Read + use<T>, CliError> {
        let request = self.sign(self.agent.post(self.url(path)));
        Ok(self.check(request.send_json(body))?.into_body().into_reader())
    }

    /// Sends bytes and reads JSON.
    pub(crate) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        size: u64,
        mut bytes: impl Read,
    ) -> Result<T, CliError> {
        let request = self.agent.put(self.url(path)).query_pairs(query.iter().copied());
        let request = self.sign(request).header("content-length", size.to_string());
        self.read(request.send(SendBody::from_reader(&mut bytes)))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{}{}/{path}", self.address, self.place, api::ROOT)
    }

    fn sign<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        request
            .header("authorization", format!("Bearer {}", self.token))
            .header(api::DEVICE_HEADER, self.daemon.device.to_string())
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, CliError> {
        let body = self.check(answer)?.into_body().into_reader();
        // ureq's own reader of JSON stops at 10 MB; histories and lists of runs may be larger.
        serde_json::from_reader(io::BufReader::new(body))
            .map_err(|source| CliError::Answer { source: source.into() })
    }

    fn check(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, CliError> {
        let answer = answer.map_err(|error| self.unanswered(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.into_body().read_to_string().unwrap_or_default();
        let Ok(ErrorBody { error }) = serde_json::from_str(&text) else {
            let source = io::Error::other(format!("HTTP status {status}"));
            return Err(CliError::Answer { source });
        };
        if error.code == ErrorCode::WrongDevice {
            return Err(CliError::NoDaemon { home: self.home.clone() });
        }
        Err(error.into())
    }

    fn unanswered(&self, error: ureq::Error) -> CliError {
        let refused = match &error {
            ureq::Error::ConnectionFailed => true,
            ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            _ => false,
        };
        if refused {
            return CliError::NoDaemon { home: self.home.clone() };
        }
        CliError::Ask { address: self.address.clone(), source: Box::new(error) }
    }
}

/// Where to reach a daemon that listens at `http`: on every address means on loopback too.
pub(crate) fn reachable(http: &str) -> String {
    let Ok(mut address) = http.parse::<SocketAddr>() else { return http.to_owned() };
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_without_a_daemon_says_so() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let asked = Client::of_home(dir.path());
        assert!(matches!(asked, Err(CliError::NoDaemon { home }) if home == dir.path()));
    }

    #[test]
    fn a_daemon_that_died_is_no_daemon() -> Result<(), CliError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = home::Home::open(dir.path())?;
        // Bound and let go: nobody listens there.
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let http = free.expect("a free port").to_string();
        let device = runmesh_core::ids::DeviceId::new([1; 32]);
        home.announce(&DaemonFile { pid: 1, http, device })?;
        let answer = Client::of_home(dir.path())?.get::<api::Status>("status", &[]);
        assert!(matches!(answer, Err(CliError::NoDaemon { .. })), "{answer:?}");
        Ok(())
    }

    #[test]
    fn everywhere_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80"), "[::1]:80");
        assert_eq!(reachable("10.0.0.1:80"), "10.0.0.1:80");
    }
}
