//! The whole way: a client with an API key, the guard as the gateway, TLS, the guard in
//! front of a backend.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "apps/app.rs"]
mod app;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/authority.rs"]
mod authority;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "fronts/backend.rs"]
mod backend;
#[path = "edge/bodies.rs"]
mod bodies;
#[path = "edge/both.rs"]
mod both;
#[path = "edge/browser.rs"]
mod browser;
#[path = "edge/certificates.rs"]
mod certificates;
#[path = "edge/changes.rs"]
mod changes;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "apps/client.rs"]
mod client;
#[path = "edge/config.rs"]
mod config;
#[path = "edge/corpus.rs"]
mod corpus;
#[path = "edge/cors.rs"]
mod cors;
#[path = "edge/counters.rs"]
mod counters;
#[path = "edge/guessing.rs"]
mod guessing;
#[path = "edge/hostile.rs"]
mod hostile;
#[path = "edge/limits.rs"]
mod limits;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "apps/pattern.rs"]
mod pattern;
#[path = "edge/query.rs"]
mod query;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "relay/scripted.rs"]
mod scripted;
mod support;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/client.rs"]
mod tls_client;
#[path = "edge/tls_server.rs"]
mod tls_server;
#[path = "edge/tornado.rs"]
mod tornado;
