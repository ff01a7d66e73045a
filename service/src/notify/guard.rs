//! Which addresses may be connected to. A target is a name that somebody else answers for: what
//! it resolves to is checked at each connection, and what was checked is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks that no message goes to without `allow_private`. From the IANA registries of
/// special-purpose addresses (RFC 6890 and its updates), and the metadata services of clouds
/// that stand outside of those.
const V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const V6: &[(Ipv6Addr, u32, &str)] = &[
    (
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        "private translation",
    ),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 63, "discard"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0),
        16,
        "segment routing",
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        "unique-local",
    ),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// IPv6 networks in which an IPv4 address stands, and by how many bits it is shifted: IPv4
/// compatible and mapped (RFC 4291), translated (RFC 2765, 6052), 6to4 (RFC 3056).
const EMBEDDED: &[(Ipv6Addr, u32, u32)] = &[
    (Ipv6Addr::UNSPECIFIED, 96, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, 0),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 0),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 80),
];

/// What kind of network an address is of, where messages do not go there.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |net: Ipv4Addr, bits: u32| {
        (address.to_bits() ^ net.to_bits())
            .checked_shr(32 - bits)
            .unwrap_or(0)
            == 0
    };
    let found = V4.iter().find(|(net, bits, _)| within(*net, *bits));
    found.map(|(_, _, kind)| *kind)
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |net: Ipv6Addr, bits: u32| {
        (address.to_bits() ^ net.to_bits())
            .checked_shr(128 - bits)
            .unwrap_or(0)
            == 0
    };
    if address == Ipv6Addr::LOCALHOST {
        return Some("loopback");
    }
    if let Some((_, _, shift)) = EMBEDDED.iter().find(|(net, bits, _)| within(*net, *bits)) {
        let inner = (address.to_bits() >> shift) & u128::from(u32::MAX);
        return v4(Ipv4Addr::from_bits(u32::try_from(inner).unwrap_or(0)));
    }
    let found = V6.iter().find(|(net, bits, _)| within(*net, *bits));
    found.map(|(_, _, kind)| *kind)
}

/// Passes an address that messages may go to.
///
/// # Errors
/// What is wrong and what would allow it.
pub fn check(host: &str, address: IpAddr) -> Result<(), String> {
    match not_public(address) {
        None => Ok(()),
        Some(kind) => Err(format!(
            "refused: {host} is at {address}, which is {kind}; allow_private = true would allow it"
        )),
    }
}

/// Resolves a name once; all of its addresses have to pass.
///
/// # Errors
/// What is wrong, in words.
pub async fn resolve(
    host: &str,
    port: u16,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("{host} cannot be resolved: {error}"))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        return Err(format!("{host} has no address"));
    }
    if !allow_private {
        for address in &found {
            check(host, address.ip())?;
        }
    }
    Ok(found)
}

/// The resolver of an HTTP client: connections go to addresses that passed, and to no others.
pub struct Guarded {
    /// Whether private targets are allowed.
    pub allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = resolve(name.as_str(), 0, allow_private).await?;
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_are_not_public_are_known_in_every_spelling() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("1.1.1.1", None),
            ("100.63.255.255", None),
            ("100.128.0.0", None),
            ("172.32.0.1", None),
            ("0.0.0.0", Some("this network")),
            ("10.1.2.3", Some("private")),
            ("172.31.255.255", Some("private")),
            ("192.168.0.1", Some("private")),
            ("100.64.0.1", Some("carrier-grade NAT")),
            ("100.100.100.200", Some("carrier-grade NAT")),
            ("127.8.9.10", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("168.63.129.16", Some("cloud metadata")),
            ("192.0.0.192", Some("reserved")),
            ("239.1.1.1", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("2606:4700::1111", None),
            ("2a00:1450:4001::1", None),
            ("::", Some("this network")),
            ("::1", Some("loopback")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:8.8.8.8", None),
            ("::ffff:0:10.0.0.1", Some("private")),
            ("::10.0.0.1", Some("private")),
            ("64:ff9b::a9fe:a9fe", Some("link-local")),
            ("64:ff9b::808:808", None),
            ("64:ff9b:1::808:808", Some("private translation")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:808:808::", None),
            ("2001::1", Some("reserved")),
            ("fd00:ec2::254", Some("unique-local")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("site-local")),
            ("ff02::1", Some("multicast")),
            ("2001:db8::1", Some("documentation")),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(not_public(parsed), expected, "{address}");
        }
    }
}
