//! A file that the binary prints, with the values that its comments name in place of its own.

use std::net::SocketAddr;
use std::process::Command;

use crate::front::{Folder, Proxy, Role, Setup};
use crate::support::command;

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
            Proxy::Envoy => self.envoy(),
        };
        let mut command = Command::new(self.proxy.path().expect("installed"));
        command.args(arguments);
        command
    }

    fn nginx(&self) -> &'static [&'static str] {
        let tls = if self.setup.tls { " ssl" } else { "" };
        let listen = format!("listen {}{tls};", self.address);
        let mut values = vec![("listen 443 ssl;".into(), listen)];
        values.extend(self.upstream());
        let text = self.print(&self.options(&self.folder.file("guard.sock")), &values);
        self.folder.write("origin-guard.conf", &text);
        self.folder.write("nginx.conf", include_str!("nginx.conf"));
        &["-p", ".", "-c", "nginx.conf"]
    }

    fn caddy(&self) -> &'static [&'static str] {
        let (site, port) = (self.site(), self.address.port());
        let name = format!("\n{site} {{");
        let (options, address) = if self.setup.tls {
            let options = self.options(&self.folder.file("guard.sock"));
            (options, format!("\nhttps://{site}:{port} {{"))
        } else {
            // With a certificate it would not speak in clear.
            let mut options = self.options(&self.folder.file("guard.sock"));
            options.retain(|(option, _)| !["--cert", "--key"].contains(option));
            (options, format!("\nhttp://:{port} {{"))
        };
        let mut values = vec![(name, address)];
        values.extend(self.upstream());
        let text = self.print(&options, &values);
        self.folder.write("origin-guard.caddy", &text);
        let caddyfile = include_str!("Caddyfile").replace("FOLDER", &self.folder.file(""));
        self.folder
            .write("Caddyfile", &caddyfile.replace("//beside", "/beside"));
        &["run", "--adapter", "caddyfile", "--config", "Caddyfile"]
    }

    fn haproxy(&self) -> &'static [&'static str] {
        let certificate = self.folder.file("combined.pem");
        let tls = format!("ssl crt {certificate} alpn h2,http/1.1");
        let bind = if self.setup.tls {
            format!("bind {} {tls}", self.address)
        } else {
            format!("bind {}", self.address)
        };
        let lua = command().args(["print", "haproxy-lua"]).output();
        let lua = String::from_utf8(lua.expect("runs").stdout).expect("UTF-8");
        let lua = self.folder.write("origin-guard.lua", &lua);
        let mut values = vec![
            (format!("bind :443 {tls}"), bind),
            ("/etc/haproxy/origin-guard.lua".into(), lua),
        ];
        values.extend(self.upstream());
        let folder = self.folder.file("");
        let folder = folder.trim_end_matches('/');
        let mut base = include_str!("haproxy.cfg").replace("FOLDER", folder);
        // In a chroot, as Debian's is, the path begins at its root.
        let mut socket = "/guard.sock".to_owned();
        if !rustix::process::geteuid().is_root() {
            // Only root can become another user.
            for line in ["    user haproxy\n", "    group haproxy\n"] {
                base = base.replace(line, "");
            }
            base = base.replace(&format!("    chroot {folder}\n"), "");
            socket = self.folder.file("guard.sock");
        }
        self.folder.write("haproxy.cfg", &base);
        let mut options = self.options(&socket);
        options.retain(|(option, _)| *option != "--key");
        for (option, value) in &mut options {
            if *option == "--cert" {
                value.clone_from(&certificate);
            }
        }
        let text = self.print(&options, &values);
        self.folder.write("origin-guard.cfg", &text);
        &["-f", "haproxy.cfg", "-f", "origin-guard.cfg"]
    }

    fn envoy(&self) -> &'static [&'static str] {
        let (ip, port) = (self.address.ip(), self.address.port());
        let values = vec![(
            "{ address: 0.0.0.0, port_value: 443 }".into(),
            format!("{{ address: {ip}, port_value: {port} }}"),
        )];
        let mut text = self.print(&self.options(&self.folder.file("guard.sock")), &values);
        if !self.setup.tls {
            let (before, rest) = text.split_once("        # TLS, because").expect("TLS");
            let (_, behind) = rest.split_once("          filters:\n").expect("filters");
            text = format!("{before}        - filters:\n{behind}");
        }
        // It waits a second for each client that it refuses, and the corpus has hundreds.
        let prefix = "                stat_prefix: origin\n";
        let hurried = format!("{prefix}                delayed_close_timeout: 0.02s\n");
        text = text.replace(prefix, &hurried);
        self.folder.write("envoy.yaml", &text);
        &[
            "-c",
            "envoy.yaml",
            "--disable-hot-restart",
            "--concurrency",
            "2",
            "--log-level",
            "warning",
        ]
    }

    /// What `print` is given beside the file's name.
    fn options(&self, socket: &str) -> Vec<(&'static str, String)> {
        let guard = self.setup.guard.map(|address| address.to_string());
        let mut options = vec![
            ("--socket", guard.unwrap_or_else(|| socket.to_owned())),
            ("--name", self.site().to_owned()),
            ("--cert", self.folder.file("fullchain.pem")),
            ("--key", self.folder.file("privkey.pem")),
        ];
        if self.is_origin() {
            options.push(("--backend", self.backend.to_string()));
        }
        options
    }

    /// What the binary prints for `options`, with `values` in place.
    fn print(&self, options: &[(&str, String)], values: &Values) -> String {
        let name = self.name();
        let mut print = command();
        print.args(["print", &name]);
        for (option, value) in options {
            print.args([option, value.as_str()]);
        }
        let output = print
            .envs(self.setup.headers.iter().copied())
            .output()
            .expect("runs");
        assert!(output.status.success(), "{output:?}");
        let mut text = String::from_utf8(output.stdout).expect("UTF-8");
        if self.setup.health {
            text = uncomment(
                &text,
                "Uncomment to let anyone ask for the backend's health",
            );
        }
        for (placeholder, value) in values.iter().chain(&self.setup.changes) {
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

    /// What requests are forwarded to.
    fn upstream(&self) -> Values {
        const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
        const TLS: &str = " ssl verify required ca-file /etc/ssl/certs/ca-certificates.crt \
                           sni str(origin.example) verifyhost origin.example \
                           init-addr last,libc,none";
        let (to, authority) = match &self.setup.role {
            Role::Origin => return Vec::new(),
            Role::Gateway => (self.backend, None),
            Role::GatewayInClearTo(origin) => (*origin, None),
            Role::GatewayTo(origin, authority) => (*origin, Some(authority)),
        };
        let own = self.folder.file("fullchain.pem");
        let values: Vec<(&str, String)> = match (self.proxy, authority) {
            (Proxy::Envoy, _) => panic!("no file of Envoy is a gateway's"),
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
