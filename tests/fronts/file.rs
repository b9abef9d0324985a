//! A file that the binary prints, with the values that its comments name in place of its own.

use std::net::SocketAddr;
use std::process::Command;

use crate::front::{Folder, Proxy, Role, Setup};
use crate::support::{command, path_of};

/// What stands in a file, and what is to stand there.
type Values = Vec<(String, String)>;

/// What a file is fitted to.
pub(crate) struct File<'a> {
    pub(crate) proxy: Proxy,
    pub(crate) setup: &'a Setup,
    pub(crate) folder: &'a Folder,
    /// Where the proxy is to listen.
    pub(crate) address: SocketAddr,
    /// The test's own backend.
    pub(crate) backend: SocketAddr,
}

impl File<'_> {
    /// Writes it, and returns the command that runs the proxy with it.
    pub(crate) fn command(&self) -> Command {
        let arguments = match self.proxy {
            Proxy::Nginx => self.nginx(),
            Proxy::Caddy => self.caddy(),
            Proxy::Haproxy => self.haproxy(),
        };
        let mut command = Command::new(path_of(self.proxy.program()).expect("installed"));
        command.args(arguments);
        command
    }

    fn nginx(&self) -> &'static [&'static str] {
        let tls = if self.setup.tls { " ssl" } else { "" };
        let listen = format!("listen {}{tls};", self.address);
        let mut values = vec![
            (self.guard(), self.folder.file("guard.sock")),
            ("listen 443 ssl;".into(), listen),
            self.certificate("fullchain.pem"),
            self.certificate("privkey.pem"),
        ];
        values.extend(self.upstream());
        self.folder
            .write("site.conf", &self.print(&self.name(), &values));
        self.folder.write("nginx.conf", include_str!("nginx.conf"));
        &["-p", ".", "-c", "nginx.conf"]
    }

    fn caddy(&self) -> &'static [&'static str] {
        let (site, port) = (self.site(), self.address.port());
        let mut values = vec![(self.guard(), self.folder.file("guard.sock"))];
        values.extend(self.upstream());
        let name = format!("\n{site} {{");
        if self.setup.tls {
            values.push((name, format!("\nhttps://{site}:{port} {{")));
            values.push(("#tls /etc/".into(), "tls /etc/".into()));
            values.push(self.certificate("fullchain.pem"));
            values.push(self.certificate("privkey.pem"));
        } else {
            values.push((name, format!("\nhttp://:{port} {{")));
        }
        self.folder
            .write("site", &self.print(&self.name(), &values));
        self.folder.write("Caddyfile", include_str!("Caddyfile"));
        &["run", "--adapter", "caddyfile", "--config", "Caddyfile"]
    }

    fn haproxy(&self) -> &'static [&'static str] {
        let (placeholder, certificate) = self.certificate("combined.pem");
        let tls = |certificate: &str| format!("ssl crt {certificate} alpn h2,http/1.1");
        let bind = if self.setup.tls {
            format!("bind {} {}", self.address, tls(&certificate))
        } else {
            format!("bind {}", self.address)
        };
        let lua = vec![(self.guard(), self.folder.file("guard.sock"))];
        let lua = self.print("haproxy-lua", &lua);
        let lua = self.folder.write("origin-guard.lua", &lua);
        let mut values = vec![
            (format!("bind :443 {}", tls(&placeholder)), bind),
            ("/etc/haproxy/origin-guard.lua".into(), lua),
        ];
        values.extend(self.upstream());
        if !rustix::process::geteuid().is_root() {
            // Only root can become another user.
            values.push(("    user haproxy\n".into(), String::new()));
            values.push(("    group haproxy\n".into(), String::new()));
        }
        self.folder
            .write("haproxy.cfg", &self.print(&self.name(), &values));
        &["-f", "haproxy.cfg"]
    }

    /// What the binary prints, with `values` in place.
    fn print(&self, name: &str, values: &Values) -> String {
        let output = command().args(["print", name]).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        let mut text = String::from_utf8(output.stdout).expect("UTF-8");
        if self.setup.health && name == self.proxy.program() {
            text = uncomment(
                &text,
                "Uncomment to let anyone ask for the backend's health",
            );
        }
        for (placeholder, value) in values {
            assert!(
                text.contains(placeholder),
                "no {placeholder} in {name}: {text}"
            );
            text = text.replace(placeholder, value);
        }
        text
    }

    fn is_origin(&self) -> bool {
        matches!(self.setup.role, Role::Origin)
    }

    /// What it is called on the command line.
    fn name(&self) -> String {
        let program = self.proxy.program();
        if self.is_origin() {
            program.into()
        } else {
            format!("{program}-gateway")
        }
    }

    fn site(&self) -> &'static str {
        if self.is_origin() {
            "origin.example"
        } else {
            "api.example"
        }
    }

    fn guard(&self) -> String {
        let name = if self.is_origin() {
            "origin-guard"
        } else {
            "origin-guard/gateway"
        };
        format!("/run/{name}.sock")
    }

    fn certificate(&self, part: &str) -> (String, String) {
        (
            format!("/etc/ssl/{}/{part}", self.site()),
            self.folder.file(part),
        )
    }

    /// What requests are forwarded to.
    fn upstream(&self) -> Values {
        const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
        const TLS: &str = " ssl verify required ca-file /etc/ssl/certs/ca-certificates.crt \
                           sni str(origin.example) verifyhost origin.example \
                           init-addr last,libc,none";
        let (to, authority) = match &self.setup.role {
            Role::Origin => {
                return vec![("127.0.0.1:8080".into(), self.backend.to_string())];
            }
            Role::Gateway => (self.backend, None),
            Role::GatewayInClearTo(origin) => (*origin, None),
            Role::GatewayTo(origin, authority) => (*origin, Some(authority)),
        };
        let own = self.folder.file("fullchain.pem");
        let values: Vec<(&str, String)> = match (self.proxy, authority) {
            (Proxy::Nginx, None) => vec![
                ("server origin.example:443;", format!("server {to};")),
                ("https://gateway_origin", "http://gateway_origin".into()),
                (AUTHORITIES, own),
            ],
            (Proxy::Nginx, Some(authority)) => vec![
                ("server origin.example:443;", format!("server {to};")),
                (AUTHORITIES, authority.clone()),
            ],
            (Proxy::Caddy, None) => vec![
                ("https://origin.example {", format!("http://{to} {{")),
                ("tls_server_name origin.example\n", "\n".into()),
            ],
            (Proxy::Caddy, Some(authority)) => vec![
                ("https://origin.example {", format!("https://{to} {{")),
                ("#tls_trusted_ca_certs", "tls_trusted_ca_certs".into()),
                ("/etc/ssl/origin.example/ca.pem", authority.clone()),
            ],
            (Proxy::Haproxy, None) => {
                vec![("origin.example:443", to.to_string()), (TLS, String::new())]
            }
            (Proxy::Haproxy, Some(authority)) => vec![
                ("origin.example:443", to.to_string()),
                (AUTHORITIES, authority.clone()),
            ],
        };
        values
            .into_iter()
            .map(|(placeholder, value)| (placeholder.to_owned(), value))
            .collect()
    }
}

/// Takes the `#` from the lines that follow the one with `marker`, up to one without.
fn uncomment(text: &str, marker: &str) -> String {
    let mut within = false;
    let mut done = false;
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            if line.contains(marker) {
                within = true;
                return line.to_owned();
            }
            within &= line.trim_start().starts_with('#');
            done |= within;
            if within {
                line.replacen('#', "", 1)
            } else {
                line.to_owned()
            }
        })
        .collect();
    assert!(done, "no {marker} in {text}");
    lines.join("\n") + "\n"
}
