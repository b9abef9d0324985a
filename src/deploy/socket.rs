//! The socket units, one for each role (`FileDescriptorName=`).

use super::template;

/// What a socket leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketRole {
    Plain,
    Tls,
    Gateway,
    GatewayTls,
    Redirect,
    Admin,
}

/// All roles, as they are written.
pub(super) const ROLES: &str = "plain, tls, gateway, gateway-tls, redirect or admin";

impl SocketRole {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "plain" => Self::Plain,
            "tls" => Self::Tls,
            "gateway" => Self::Gateway,
            "gateway-tls" => Self::GatewayTls,
            "redirect" => Self::Redirect,
            "admin" => Self::Admin,
            _ => return None,
        })
    }
}

/// The text of the unit for `role`.
pub(super) fn text(role: SocketRole) -> String {
    const ANY: &str = "ListenStream=0.0.0.0:PORT\nListenStream=[::]:PORT\n\
                       BindIPv6Only=ipv6-only\nNoDelay=yes";
    let any = |port: &str| ANY.replace("PORT", port);
    let (name, about, listen) = match role {
        SocketRole::Plain => return include_str!("origin-guard.socket").to_owned(),
        SocketRole::Gateway => return include_str!("origin-guard-gateway.socket").to_owned(),
        SocketRole::Tls => (
            "tls",
            "# Where requests arrive in TLS; the service needs TLS_CERT and TLS_KEY.",
            any("443"),
        ),
        SocketRole::GatewayTls => (
            "gateway-tls",
            "# Where consumers with API keys arrive in TLS; the service needs TLS_CERT, TLS_KEY,\n\
             # ORIGIN and API_KEYS_FILE.",
            any("443"),
        ),
        SocketRole::Redirect => (
            "redirect",
            "# Where plain HTTP is sent to https, under the names of the certificates of TLS_CERT.",
            any("80"),
        ),
        SocketRole::Admin => (
            "admin",
            "# Where the operator's page and /metrics are, for root and the socket's group alone.",
            "# Not in /run/origin-guard/, which goes when the service stops.\n\
             ListenStream=/run/origin-guard-admin.sock\nSocketMode=0660\n#SocketGroup=prometheus"
                .to_owned(),
        ),
    };
    template::fill(include_str!("origin-guard-role.socket"), |place| {
        Some(match place {
            "role" => name.to_owned(),
            "about" => about.to_owned(),
            "listen" => listen.clone(),
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_names_its_descriptors() {
        for role in ["tls", "gateway", "gateway-tls", "redirect", "admin"] {
            let text = text(SocketRole::parse(role).expect("a role"));
            let line = format!("\nFileDescriptorName={role}\n");
            assert!(text.contains(&line), "{text}");
            assert!(text.contains("\nService=origin-guard.service\n"), "{text}");
            assert!(!text.contains("{{"), "{text}");
        }
        assert!(text(SocketRole::Plain).contains("ListenStream=0.0.0.0:8888"));
        assert_eq!(SocketRole::parse("TLS"), None);
    }
}
