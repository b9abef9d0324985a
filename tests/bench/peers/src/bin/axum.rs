//! axum on tokio's multi-threaded runtime with its default number of workers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use peers::Secret;

async fn protected(State(secret): State<Arc<Secret>>, headers: HeaderMap) -> impl IntoResponse {
    let presented = headers.get("x-shared-secret").map(|value| value.as_bytes());
    let (status, body) = secret.judge(presented);
    let fields = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (
        StatusCode::from_u16(status).expect("a status"),
        fields,
        body,
    )
}

fn main() -> std::io::Result<()> {
    let secret = Arc::new(Secret::from_environment());
    let app = Router::new()
        .route("/protected", get(protected))
        .route("/verify", get(protected))
        .with_state(secret);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if let Some(socket) = std::env::var_os("SOCKET") {
            let listener = tokio::net::UnixListener::bind(socket)?;
            return axum::serve(listener, app).await;
        }
        let listener = tokio::net::TcpListener::bind(peers::address()).await?;
        // axum::serve leaves Nagle's algorithm on; every other peer turns it off.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, app).await
    })
}
