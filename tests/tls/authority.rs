//! Certificates made for a test, by openssl.

use std::path::PathBuf;
use std::process::Command;

use crate::support::folder::Folder;

/// How the key of a certificate is made and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    EcdsaPkcs8,
    EcdsaSec1,
    P384Pkcs8,
    RsaPkcs8,
    RsaPkcs1,
    Ed25519Pkcs8,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Issued {
    /// The variables of a server that presents it.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [
            ("TLS_CERT", self.certificate.to_str().expect("UTF-8")),
            ("TLS_KEY", self.key.to_str().expect("UTF-8")),
        ]
    }
}

/// Whoever issues a test's certificates.
pub(crate) struct Authority {
    pub(crate) folder: Folder,
    /// Its own certificate.
    pub(crate) certificate: PathBuf,
}

impl Authority {
    /// Makes one; `name` tells it from those of other tests.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Folder::new(&format!("tls-{name}"));
        let config = "[req]\ndistinguished_name=dn\n[dn]\n";
        folder.write("openssl.cnf", config);
        let certificate = folder.path.join("ca.pem");
        let authority = Self {
            folder,
            certificate,
        };
        let path = |name| authority.path(name);
        authority.openssl(&[
            &[
                "req",
                "-x509",
                "-config",
                &path("openssl.cnf"),
                "-days",
                "60",
            ][..],
            &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ],
            &[
                "-subj",
                &format!("/CN=Authority {name}"),
                "-keyout",
                &path("ca.key"),
            ],
            &["-addext", "basicConstraints=critical,CA:TRUE"],
            &["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            &["-addext", "subjectKeyIdentifier=hash"],
            &["-out", &path("ca.pem")],
        ]);
        authority
    }

    /// The path of a file of its own.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path.join(name).to_str().expect("UTF-8").into()
    }

    /// A server's certificate for these DNS names, good for 60 days.
    pub(crate) fn issue(&self, key: Key, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
        self.issue_as(
            &names[0].replace([':', '*', '.'], "-"),
            key,
            &names.join(","),
            60,
        )
    }

    /// A certificate in files that `file` names, with this `subjectAltName`.
    pub(crate) fn issue_as(&self, file: &str, key: Key, names: &str, days: u32) -> Issued {
        let file = format!("{file}-{key:?}");
        let (certificate, made) = (self.path(&format!("{file}.pem")), self.path(&file));
        let kind = match key {
            Key::EcdsaPkcs8 | Key::EcdsaSec1 => {
                &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..]
            }
            Key::P384Pkcs8 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Key::RsaPkcs8 | Key::RsaPkcs1 => &["-newkey", "rsa:2048"],
            Key::Ed25519Pkcs8 => &["-newkey", "ed25519"],
        };
        let days = days.to_string();
        self.openssl(&[
            &[
                "req",
                "-x509",
                "-config",
                &self.path("openssl.cnf"),
                "-days",
                &days,
            ],
            kind,
            &[
                "-nodes",
                "-subj",
                "/CN=test",
                "-keyout",
                &made,
                "-out",
                &certificate,
            ],
            &["-CA", &self.path("ca.pem"), "-CAkey", &self.path("ca.key")],
            &["-addext", "basicConstraints=critical,CA:FALSE"],
            &["-addext", "authorityKeyIdentifier=keyid"],
            &["-addext", &format!("subjectAltName={names}")],
        ]);
        if matches!(key, Key::EcdsaSec1 | Key::RsaPkcs1) {
            let kept = format!("{made}.pkcs8");
            std::fs::rename(&made, &kept).expect("renamed");
            self.openssl(&[&["pkey", "-in", &kept, "-traditional", "-out", &made]]);
            let text = std::fs::read_to_string(&made).expect("a key");
            let kind = if key == Key::EcdsaSec1 { "EC" } else { "RSA" };
            assert!(
                text.starts_with(&format!("-----BEGIN {kind} PRIVATE KEY")),
                "{key:?}"
            );
        }
        Issued {
            certificate: certificate.into(),
            key: made.into(),
        }
    }

    /// A certificate that has ended.
    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        let (made, request) = (self.path("expired.key"), self.path("expired.csr"));
        let certificate = self.path("expired.pem");
        self.openssl(&[
            &["req", "-new", "-config", &self.path("openssl.cnf")],
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &[
                "-nodes", "-subj", "/CN=test", "-keyout", &made, "-out", &request,
            ],
            &["-addext", &format!("subjectAltName=DNS:{name}")],
        ]);
        self.openssl(&[
            &["x509", "-req", "-in", &request, "-days", "-1"],
            &["-copy_extensions", "copy", "-out", &certificate],
            &["-CA", &self.path("ca.pem"), "-CAkey", &self.path("ca.key")],
        ]);
        Issued {
            certificate: certificate.into(),
            key: made.into(),
        }
    }

    /// A list of the certificates that have been revoked, good from now on.
    pub(crate) fn revocations(&self, name: &str, revoked: &[&Issued]) -> PathBuf {
        self.revocations_at(name, revoked, &["-crldays", "30"])
    }

    /// The same, with these options for its times.
    pub(crate) fn revocations_at(
        &self,
        name: &str,
        revoked: &[&Issued],
        times: &[&str],
    ) -> PathBuf {
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\ncrlnumber={}\ndefault_md=sha256\n",
            self.path("index.txt"),
            self.path("crlnumber")
        );
        self.folder.write("ca.cnf", &config);
        self.folder.write("index.txt", "");
        self.folder.write("crlnumber", "01\n");
        let config = self.path("ca.cnf");
        let own = [
            "-cert",
            &self.path("ca.pem"),
            "-keyfile",
            &self.path("ca.key"),
        ];
        for issued in revoked {
            let certificate = issued.certificate.to_str().expect("UTF-8");
            self.openssl(&[&["ca", "-config", &config, "-revoke", certificate], &own]);
        }
        let made = self.path(&format!("{name}.new"));
        let gencrl = ["ca", "-config", &config, "-gencrl", "-out", &made];
        self.openssl(&[&gencrl, &own, times]);
        let path = self.path(name);
        std::fs::rename(&made, &path).expect("renamed");
        path.into()
    }

    /// Runs openssl with all of `arguments`.
    pub(crate) fn openssl(&self, arguments: &[&[&str]]) {
        let output = Command::new("openssl")
            .args(arguments.concat())
            .current_dir(&self.folder.path)
            .output()
            .expect("openssl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
    }
}
