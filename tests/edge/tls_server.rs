//! A server that shows whatever certificate it is given, and keeps what it is sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::authority::{Authority, Issued};
use crate::support::PATIENCE;

/// Listens until the process ends; answers each first read with a 200.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connections: usize,
    received: Vec<u8>,
}

impl TlsServer {
    /// One that wants a certificate by `clients`, where there is one.
    pub(crate) fn start(issued: &Issued, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let root = CertificateDer::from_pem_file(&authority.certificate);
                let mut roots = RootCertStore::empty();
                roots.add(root.expect("a certificate")).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = CertificateDer::pem_file_iter(&issued.certificate).expect("a chain");
        let chain = chain.map(|one| one.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
        let config = Arc::new(builder.with_single_cert(chain, key).expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                shared.lock().expect("a state").connections += 1;
                let tls = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let mut stream = StreamOwned::new(tls, socket);
                let mut bytes = [0; 4096];
                if let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let mut state = shared.lock().expect("a state");
                    state.received.extend_from_slice(&bytes[..read]);
                    // Whoever is gone gets none.
                    let answer =
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(answer);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().expect("a state").connections
    }

    /// All that was sent inside TLS.
    pub(crate) fn received(&self) -> String {
        let state = self.state.lock().expect("a state");
        String::from_utf8_lossy(&state.received).into_owned()
    }
}
