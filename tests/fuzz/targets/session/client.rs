//! A client's end of a connection: plain, or inside TLS.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Makes a certificate of the name localhost and its key, as `cert.pem` and `key.pem`.
pub fn make_certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '))
        .args("-days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost".split(' '))
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", made.stderr.escape_ascii());
}

/// What believes that certificate.
pub fn config(folder: &Path) -> Arc<ClientConfig> {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem"));
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate.expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each input is played alike.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub struct Client {
    socket: UnixStream,
    tls: Option<ClientConnection>,
}

impl Client {
    /// Inside TLS with a `config`.
    pub fn new(socket: UnixStream, config: Option<&Arc<ClientConfig>>) -> Self {
        let tls = config.map(|config| {
            let name = ServerName::try_from("localhost").expect("a name");
            ClientConnection::new(Arc::clone(config), name).expect("a session")
        });
        Self { socket, tls }
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// `false` where the other end is gone. What a fuzzer sends fits into the socket.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes).expect("a buffer");
            return self.flush() != Some(false);
        }
        self.send(bytes)
    }

    /// Sends what TLS has to say: whether it was taken; `None` where there was nothing.
    pub fn flush(&mut self) -> Option<bool> {
        let tls = self.tls.as_mut()?;
        // In one write: several at once would be a signal where the other end is gone.
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).expect("in memory");
        }
        (!bytes.is_empty()).then(|| self.send(&bytes))
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        match self.socket.write(bytes) {
            Ok(sent) => sent == bytes.len(),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "an input is too long");
                false
            }
        }
    }

    /// Reads all that is there. Whether TLS has answered it.
    pub fn read(&mut self, given: &mut Vec<u8>) -> bool {
        let mut bytes = [0; 16384];
        while let Ok(count @ 1..) = self.socket.read(&mut bytes) {
            match &mut self.tls {
                None => given.extend_from_slice(&bytes[..count]),
                Some(tls) => {
                    let mut rest = &bytes[..count];
                    while !rest.is_empty() {
                        tls.read_tls(&mut rest).expect("in memory");
                        tls.process_new_packets().expect("the guard speaks TLS");
                        // Nothing more is there for now.
                        let _ = tls.reader().read_to_end(given);
                    }
                }
            }
            if count < bytes.len() {
                break;
            }
        }
        self.flush() == Some(true)
    }

    /// Says that nothing more will be sent. The connection may be closed by now.
    pub fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush();
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}
