//! Where webhooks may be sent.
//!
//! A webhook makes this daemon send what a client chose to where a client chose, so by default it
//! goes by https and to addresses of the internet alone, as MLflow's do: not to this machine, not
//! to the network around it. The check is made on the addresses that are then connected to, so that
//! no name can mean one thing when it is checked and another when it is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::WebhookPolicy;
use crate::http::mlflow::python;

/// Why something cannot be sent there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("Webhook URL cannot be empty or just whitespace: {0}")]
    Blank(String),
    #[error("Invalid webhook URL: {0:?}")]
    NoUrl(String),
    #[error("Invalid webhook URL scheme: '{scheme}'. Allowed schemes are: {allowed}.")]
    Scheme { scheme: String, allowed: &'static str },
    #[error(
        "Webhook URL must not resolve to a non-public IP address. '{host}' resolves to \
         {address}."
    )]
    NotPublic { host: String, address: IpAddr },
}

/// Reads where a webhook shall be sent, and checks what can be checked without asking for names.
pub(crate) fn parse(url: &str, policy: WebhookPolicy) -> Result<Url, TargetError> {
    if url.trim().is_empty() {
        return Err(TargetError::Blank(python::repr(url)));
    }
    let no_url = || TargetError::NoUrl(url.to_owned());
    let (scheme, allowed): (_, &[&str]) = match policy {
        WebhookPolicy::Public => ("https", &["https"]),
        WebhookPolicy::Any => ("http, https", &["http", "https"]),
    };
    let found = url.split_once(':').map_or("", |(found, _)| found).to_lowercase();
    if !allowed.contains(&found.as_str()) {
        return Err(TargetError::Scheme { scheme: found, allowed: scheme });
    }
    let parsed = Url::parse(url).map_err(|_| no_url())?;
    let host = parsed.host_str().ok_or_else(no_url)?;
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        check(host, address, policy)?;
    }
    Ok(parsed)
}

/// Checks an address that a name stands for.
pub(crate) fn check(host: &str, address: IpAddr, policy: WebhookPolicy) -> Result<(), TargetError> {
    match policy == WebhookPolicy::Any || is_public(address) {
        true => Ok(()),
        false => Err(TargetError::NotPublic { host: host.to_owned(), address }),
    }
}

/// Looks names up for the client that sends, and gives it only addresses that may be connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver(pub(crate) WebhookPolicy);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            for address in &addresses {
                check(&host, address.ip(), policy)?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl Resolver {
    /// As the client takes it.
    pub(crate) fn shared(policy: WebhookPolicy) -> Arc<Self> {
        Arc::new(Self(policy))
    }
}

/// Whether an address is one of the internet's, whatever it is wrapped in.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

/// Of IPv6, 2000::/3 is given out; what of it is not for the internet is left out.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let reserved = a == 0x3fff || (a == 0x2001 && (b < 0x200 || b == 0xdb8));
    (0x2000..0x4000).contains(&a) && !reserved
}

/// The IPv4 address that an IPv6 address stands for, by mapping, 6to4 or NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        _ => address.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2002:0a00:0001::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
        for address in
            ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2001:4860::8888", "::ffff:8.8.8.8"]
        {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn a_target_is_on_the_internet_unless_the_owner_says_otherwise() {
        let public = |url| parse(url, WebhookPolicy::Public).map(drop);
        assert_eq!(public("https://example.com/hook"), Ok(()));
        assert_eq!(public("https://8.8.8.8:8443/"), Ok(()));
        for url in ["http://example.com", "ftp://8.8.8.8/", "nope", "file:///etc/passwd"] {
            assert!(matches!(public(url), Err(TargetError::Scheme { .. })), "{url}");
        }
        // URLs have an address written as one number, or in octal, as the address that it means.
        for url in
            ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://0177.1/"]
        {
            assert!(matches!(public(url), Err(TargetError::NotPublic { .. })), "{url}");
        }
        assert!(matches!(public("https://"), Err(TargetError::NoUrl(_))));
        for blank in ["", "   "] {
            assert!(matches!(public(blank), Err(TargetError::Blank(_))), "{blank:?}");
        }
        let any = |url| parse(url, WebhookPolicy::Any).map(drop);
        assert_eq!(any("http://127.0.0.1:8080/"), Ok(()));
        assert!(matches!(any("file:///etc/passwd"), Err(TargetError::Scheme { .. })));
    }
}
