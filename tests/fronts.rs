//! The real nginx, Caddy and `HAProxy` with the files that `origin-guard print` prints,
//! between clients of every kind and a backend that records what reaches it.

mod support;

/// Makes a module of tests, one for each proxy, of a function that takes a [`front::Proxy`].
macro_rules! with_each_proxy {
    ($($function:ident)*) => {$(
        mod $function {
            use crate::front::Proxy;

            #[test]
            fn nginx() {
                super::$function(Proxy::Nginx);
            }

            #[test]
            fn caddy() {
                super::$function(Proxy::Caddy);
            }

            #[test]
            fn haproxy() {
                super::$function(Proxy::Haproxy);
            }
        }
    )*};
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
#[path = "fronts/passing.rs"]
mod passing;
#[path = "fronts/relay.rs"]
mod relay;
#[path = "fronts/smuggling.rs"]
mod smuggling;
