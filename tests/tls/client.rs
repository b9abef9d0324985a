//! A client that speaks TLS by rustls, and shows what other clients hide.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::authority::{Authority, Issued};
use crate::support::{Answer, Guard};

/// What a client trusts and offers.
pub(crate) fn config(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(&authority.certificate).expect("a certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let Some(own) = own else {
        return builder.with_no_client_auth();
    };
    let chain = CertificateDer::pem_file_iter(&own.certificate).expect("a chain");
    let chain = chain.map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    builder.with_client_auth_cert(chain, key).expect("a pair")
}

/// A connection with TLS.
pub(crate) struct TlsClient {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
}

impl TlsClient {
    /// Connects; the handshake comes with the first read or write.
    pub(crate) fn connect(guard: &Guard, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        Self {
            tls: ClientConnection::new(Arc::clone(config), name).expect("a client"),
            socket: guard.connect(),
        }
    }

    /// Connects to a guard that presents `localhost`, by `authority`, in TLS 1.3.
    pub(crate) fn plain(guard: &Guard, authority: &Authority) -> Self {
        Self::over(guard.connect(), authority)
    }

    /// Over a connection that is there, to `localhost`.
    pub(crate) fn over(socket: TcpStream, authority: &Authority) -> Self {
        let config = config(authority, &[&rustls::version::TLS13], None);
        let name = ServerName::try_from("localhost").expect("a name");
        Self {
            tls: ClientConnection::new(Arc::new(config), name).expect("a client"),
            socket,
        }
    }

    /// Brings the handshake to its end.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket)?;
        }
        Ok(())
    }

    /// Sends `request` and reads one answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.write_all(request.as_ref()).expect("sent");
        Answer::read(self, false).expect("an answer")
    }

    /// Says that nothing more comes, in TLS; the socket stays open.
    pub(crate) fn close_notify(&mut self) {
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).expect("sent");
        }
    }
}

impl Read for TlsClient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).read(buffer)
    }
}

impl Write for TlsClient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).flush()
    }
}
