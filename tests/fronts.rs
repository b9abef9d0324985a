//! The real nginx, Caddy, `HAProxy` and Envoy with the files that `origin-guard print` prints,
//! between clients of every kind and a backend that records what reaches it.

mod support;

/// Makes a module of tests, one for each proxy, of a function that takes a [`front::Proxy`].
macro_rules! with_each {
    ([$($proxy:ident $variant:ident)*] $function:ident) => {
        mod $function {
            use crate::front::Proxy;

            $(
                #[test]
                fn $proxy() {
                    super::$function(Proxy::$variant);
                }
            )*
        }
    };
}

macro_rules! with_each_proxy {
    ($($function:ident)*) => {
        $(with_each!([nginx Nginx caddy Caddy haproxy Haproxy envoy Envoy] $function);)*
    };
}

/// For those that have a file as the gateway.
macro_rules! with_each_gateway {
    ($($function:ident)*) => {
        $(with_each!([nginx Nginx caddy Caddy haproxy Haproxy] $function);)*
    };
}

#[path = "fronts/backend.rs"]
mod backend;
#[path = "fronts/failing.rs"]
mod failing;
#[path = "fronts/file.rs"]
mod file;
#[path = "fronts/front.rs"]
mod front;
#[path = "fronts/gateway.rs"]
mod gateway;
#[path = "fronts/logs.rs"]
mod logs;
#[path = "fronts/names.rs"]
mod names;
#[path = "fronts/passing.rs"]
mod passing;
#[path = "fronts/questions.rs"]
mod questions;
#[path = "fronts/relay.rs"]
mod relay;
#[path = "fronts/smuggling.rs"]
mod smuggling;
#[path = "fronts/streaming.rs"]
mod streaming;
