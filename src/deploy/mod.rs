//! The files that the binary carries, for `origin-guard print`.

/// Each file's name on the command line, what it is for, and its text.
pub const FILES: &[(&str, &str, &str)] = &[
    (
        "unit",
        "origin-guard.service, for systemd",
        include_str!("origin-guard.service"),
    ),
    (
        "socket",
        "origin-guard.socket, for systemd",
        include_str!("origin-guard.socket"),
    ),
    (
        "no-network",
        "a drop-in for the service with the socket unit",
        include_str!("no-network.conf"),
    ),
    (
        "gateway-unit",
        "a drop-in for the service that answers a gateway's proxy, too",
        include_str!("gateway.conf"),
    ),
    (
        "nginx",
        "nginx asks the guard before it asks the backend",
        include_str!("nginx.conf"),
    ),
    (
        "caddy",
        "Caddy asks the guard before it asks the backend",
        include_str!("Caddyfile"),
    ),
    (
        "haproxy",
        "HAProxy asks the guard before it asks the backend",
        include_str!("haproxy.cfg"),
    ),
    (
        "haproxy-lua",
        "how HAProxy asks; haproxy and haproxy-gateway load it",
        include_str!("haproxy.lua"),
    ),
    (
        "traefik",
        "Traefik asks the guard before it asks the backend; not tested here",
        include_str!("traefik.yml"),
    ),
    (
        "envoy",
        "Envoy asks the guard before it asks the backend; not tested here",
        include_str!("envoy.yaml"),
    ),
    (
        "nginx-gateway",
        "nginx as the gateway: API key in, shared secret out",
        include_str!("nginx-gateway.conf"),
    ),
    (
        "caddy-gateway",
        "Caddy as the gateway: API key in, shared secret out",
        include_str!("Caddyfile-gateway"),
    ),
    (
        "haproxy-gateway",
        "HAProxy as the gateway: API key in, shared secret out",
        include_str!("haproxy-gateway.cfg"),
    ),
];

/// The text of the file called `name` on the command line.
#[must_use]
pub fn file(name: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|&(_, _, text)| text)
}

/// A line for each file: its name, and what it is for.
#[must_use]
pub fn list() -> String {
    let line = |(name, purpose, _): &(&str, &str, &str)| format!("{name:<16} {purpose}");
    FILES.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}
