//! The configuration: `config.toml` in the home, which the flags of `runmesh up` override.
//!
//! Nothing needs to be configured. A key that this version does not know is an error, because a
//! misspelt one would otherwise be obeyed by silence.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;

pub use iroh::RelayUrl;
use runmesh_core::ticket::Contact;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Where HTTP listens unless told otherwise. UDP of the same number is the first choice for peers.
pub const DEFAULT_PORT: u16 = 4747;

/// Blobs up to this size are fetched unasked, unless told otherwise.
pub const DEFAULT_SMALL_BLOB_BYTES: u64 = 16 << 20;

/// How a daemon behaves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address that HTTP listens on.
    pub http: SocketAddr,
    /// The UDP port for peers. If none is chosen: the one of last time, else [`DEFAULT_PORT`],
    /// else any that is free.
    pub peer_port: Option<u16>,
    /// Whether to look for members on the LAN by mDNS, and to say there where this device is.
    pub mdns: bool,
    /// Where members are that nothing else tells of, each as `DEVICE@IP:PORT`.
    #[serde(deserialize_with = "contacts")]
    pub peers: Vec<Contact>,
    /// One's own relay (iroh-relay), over which members that have the same one configured reach each
    /// other where they cannot otherwise. It sees who talks to whom, and nothing of what is said.
    #[serde(deserialize_with = "relay")]
    pub relay: Option<RelayUrl>,
    /// Which blobs to fetch unasked.
    pub blobs: BlobPolicy,
    /// Names other than loopback's that clients may reach HTTP under.
    pub allowed_hosts: Vec<String>,
    /// Whether ML clients need the token. If not chosen, see [`Config::clients_need_token`].
    pub require_token: Option<bool>,
    /// Where webhooks may be sent.
    pub webhooks: WebhookPolicy,
    /// A folder in which every bundle that appears is imported.
    #[serde(alias = "watch-dir")]
    pub watch_dir: Option<PathBuf>,
    /// What this device is called.
    pub name: String,
}

/// Where webhooks may be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookPolicy {
    /// By https, to addresses of the internet: neither this machine nor the network around it.
    #[default]
    Public,
    /// Anywhere, by http too.
    Any,
}

impl fmt::Display for WebhookPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Any => "any",
        })
    }
}

impl FromStr for WebhookPolicy {
    type Err = ParseWebhookPolicyError;

    fn from_str(text: &str) -> Result<Self, ParseWebhookPolicyError> {
        match text {
            "public" => Ok(Self::Public),
            "any" => Ok(Self::Any),
            _ => Err(ParseWebhookPolicyError { text: text.to_owned() }),
        }
    }
}

/// Text that does not say where webhooks may be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a policy for webhooks: {text:?}; write public or any")]
pub struct ParseWebhookPolicyError {
    text: String,
}

/// Which blobs a device fetches unasked. Any other is fetched when someone reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum BlobPolicy {
    /// All of them.
    All,
    /// Those up to a size.
    Small {
        /// The largest size.
        max_bytes: u64,
    },
    /// None of them.
    None,
}

/// Text that is not a blob policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob policy: {text:?}; write all, none, small or small:SIZE, as in small:16MiB")]
pub struct ParsePolicyError {
    text: String,
}

/// Text that is not the URL of a relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the URL of a relay: {text:?}; write it with https:// or http:// before the host, as in \
     https://relay.example or http://10.0.0.5:3340"
)]
pub struct ParseRelayError {
    text: String,
}

/// Reads the URL of a relay, which is spoken to by https or http.
pub fn parse_relay(text: &str) -> Result<RelayUrl, ParseRelayError> {
    let error = || ParseRelayError { text: text.to_owned() };
    let url: RelayUrl = text.parse().map_err(|_| error())?;
    // `lab:4747` is a URL, too: one of the scheme `lab`.
    let is_spoken_to = matches!(url.scheme(), "https" | "http") && url.has_host();
    if is_spoken_to { Ok(url) } else { Err(error()) }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// It makes no sense.
    #[error("{} is not a valid configuration", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            peer_port: None,
            mdns: true,
            peers: Vec::new(),
            relay: None,
            blobs: BlobPolicy::default(),
            allowed_hosts: Vec::new(),
            require_token: None,
            webhooks: WebhookPolicy::default(),
            watch_dir: None,
            name: host_name(),
        }
    }
}

fn contacts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Contact>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn relay<'de, D: Deserializer<'de>>(input: D) -> Result<Option<RelayUrl>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    text.map(|text| parse_relay(&text).map_err(D::Error::custom)).transpose()
}

impl Config {
    /// Reads `config.toml` of the home at `path`; without one, everything has its default.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join("config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|e| ConfigError::Invalid { path, source: e.into() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Io { path, source }),
        }
    }

    /// Whether ML clients need the token: always if the network can reach us; else as configured,
    /// by default if other people can log in to this machine.
    pub fn clients_need_token(&self) -> bool {
        !self.http.ip().is_loopback() || self.require_token.unwrap_or_else(others_log_in_here)
    }
}

impl Default for BlobPolicy {
    fn default() -> Self {
        Self::Small { max_bytes: DEFAULT_SMALL_BLOB_BYTES }
    }
}

impl BlobPolicy {
    /// Whether a blob of this size is fetched unasked.
    pub const fn wants(self, size: u64) -> bool {
        match self {
            Self::All => true,
            Self::Small { max_bytes } => size <= max_bytes,
            Self::None => false,
        }
    }
}

impl FromStr for BlobPolicy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        let error = || ParsePolicyError { text: text.to_owned() };
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            "small" => Ok(Self::default()),
            _ => {
                let size = text.strip_prefix("small:").ok_or_else(error)?;
                let max_bytes = parse_size(size).ok_or_else(error)?;
                Ok(Self::Small { max_bytes })
            }
        }
    }
}

impl TryFrom<String> for BlobPolicy {
    type Error = ParsePolicyError;

    fn try_from(text: String) -> Result<Self, ParsePolicyError> {
        text.parse()
    }
}

impl fmt::Display for BlobPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Small { max_bytes } if max_bytes % (1 << 20) == 0 => {
                write!(f, "small:{}MiB", max_bytes >> 20)
            }
            Self::Small { max_bytes } => write!(f, "small:{max_bytes}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Bytes, with an optional unit: B, KiB, MiB, GiB, TiB and their short forms are powers of 1024.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "device".to_owned())
}

/// Looked up once: every request asks.
#[cfg(unix)]
fn others_log_in_here() -> bool {
    static OTHERS: LazyLock<bool> = LazyLock::new(|| {
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        has_several_people(&accounts, rustix::process::getuid().as_raw())
    });
    *OTHERS
}

#[cfg(not(unix))]
const fn others_log_in_here() -> bool {
    false
}

/// Whether several people have accounts: by the local ones, or because ours is not among them and
/// so comes from a directory, as on a cluster.
#[cfg_attr(not(unix), allow(dead_code))]
fn has_several_people(accounts: &str, own_uid: u32) -> bool {
    /// People's accounts, as useradd gives them; below are the system's, above are nobody's.
    const PEOPLE: std::ops::Range<u32> = 1000..60_000;
    let uid_of_person = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        let uid = fields.get(2)?.parse().ok()?;
        let shell = *fields.get(6)?;
        let logs_in = !shell.ends_with("nologin") && !shell.ends_with("false");
        (PEOPLE.contains(&uid) && logs_in).then_some(uid)
    };
    let people: Vec<u32> = accounts.lines().filter_map(uid_of_person).collect();
    people.len() > 1 || (PEOPLE.contains(&own_uid) && !people.contains(&own_uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("config.toml"), text).expect("a file");
        Config::load(dir.path())
    }

    #[test]
    fn an_empty_file_and_none_are_the_default() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Config::load(dir.path()).expect("the default"), Config::default());
        assert_eq!(load("").expect("the default"), Config::default());
    }

    #[test]
    fn every_key_can_be_written_down() {
        let text = "http = '0.0.0.0:80'\npeer_port = 5\nblobs = 'small:1GiB'\n\
                    allowed_hosts = ['lab.local']\nrequire_token = false\nname = 'ann'";
        let config = load(text).expect("a configuration");
        assert_eq!(config.blobs, BlobPolicy::Small { max_bytes: 1 << 30 });
        assert_eq!((config.name.as_str(), config.peer_port), ("ann", Some(5)));
        let device = "ab".repeat(32);
        let peers = format!("peers = ['{device}@192.0.2.7:4747']\nrelay = 'https://relay.lab'");
        let found = load(&format!("mdns = false\n{peers}")).expect("a configuration");
        assert_eq!((found.mdns, found.peers.len()), (false, 1));
        assert_eq!(found.relay.expect("a relay").as_str(), "https://relay.lab/");
        assert!(load("peers = ['192.0.2.7:4747']").is_err());
        // Not negotiable where the network can reach us.
        assert!(config.clients_need_token());
    }

    #[test]
    fn a_relay_is_spoken_to_by_https_or_http() {
        for good in ["https://relay.lab", "http://10.0.0.5:3340", "HTTPS://[fd00::1]:7/"] {
            assert!(parse_relay(good).is_ok(), "{good}");
        }
        for bad in ["", "lab", "lab:4747", "10.0.0.5:3340", "ftp://relay.lab", "https://"] {
            let error = parse_relay(bad).expect_err(bad).to_string();
            assert!(error.contains("http://10.0.0.5:3340"), "{error}");
        }
        let error = load("relay = 'lab:4747'").expect_err("no URL of a relay");
        let ConfigError::Invalid { source, .. } = error else { panic!("another error") };
        assert!(source.to_string().contains("write it with https://"), "{source}");
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = load("alowed_hosts = []").expect_err("misspelt");
        let ConfigError::Invalid { source, .. } = error else { panic!("another error") };
        assert!(source.to_string().contains("alowed_hosts"));
        assert!(load("blobs = 'some'").is_err());
    }

    #[test]
    fn policies_survive_their_text_form() {
        for text in ["all", "none", "small:16MiB", "small:1500"] {
            let policy: BlobPolicy = text.parse().expect("a policy");
            assert_eq!(policy.to_string(), text);
        }
        assert_eq!("small".parse(), Ok(BlobPolicy::default()));
        for wrong in ["", "small:", "small:1PB", "small:99999999999T", "small:-1"] {
            assert!(wrong.parse::<BlobPolicy>().is_err(), "{wrong:?}");
        }
        assert!(BlobPolicy::default().wants(16 << 20));
        assert!(!BlobPolicy::default().wants((16 << 20) + 1));
    }

    #[test]
    fn a_machine_of_one_person_and_one_of_many_are_told_apart() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let daemon = "www:x:33:33::/var/www:/usr/sbin/nologin\n";
        let ann = "ann:x:1000:1000::/home/ann:/bin/bash\n";
        let bob = "bob:x:1001:1001::/home/bob:/bin/zsh\n";
        let old = "old:x:1002:1002::/home/old:/bin/false\n";
        let one = [root, daemon, ann, old].concat();
        assert!(!has_several_people(&one, 1000));
        assert!(!has_several_people(&one, 0));
        assert!(has_several_people(&[&one, bob].concat(), 1000));
        assert!(has_several_people(&one, 23_456)); // A cluster's account.
        assert!(!has_several_people("", 501)); // macOS keeps its accounts elsewhere.
    }
}
