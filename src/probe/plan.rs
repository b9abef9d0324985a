//! Which requests are sent, and in which order.

use super::check::Check;

/// Most requests of one run.
const MOST_REQUESTS: usize = 30;
/// Most of them at the URL, and the one over plain HTTP.
const AT_URL_AND_BESIDE: usize = 12;
/// Most ports of backends.
pub(super) const MOST_PORTS: usize = MOST_REQUESTS - AT_URL_AND_BESIDE;

/// What is asked at the URL itself. The right secret comes first and last: whatever is
/// denied in between is denied for what it is, not because the origin has had enough of us.
pub(super) fn at_url(has_secret: bool) -> Vec<Check> {
    use Check::{
        Dots, Empty, Nothing, NothingAgain, NothingInHead, Right, RightAgain, RightAndMore,
        RightThenWrong, Underscores, Wrong, WrongThenRight,
    };
    let mut checks = vec![Right, Nothing, NothingInHead, Empty, Wrong];
    checks.extend([RightThenWrong, WrongThenRight, RightAndMore]);
    checks.extend([Underscores, Dots]);
    checks.push(if has_secret { RightAgain } else { NothingAgain });
    checks
}

/// What is asked elsewhere at the same host.
pub(super) fn elsewhere(http_port: Option<u16>, backend_ports: &[u16]) -> Vec<Check> {
    let http = http_port.into_iter().map(Check::PlainHttp);
    let backends = backend_ports.iter().map(|&port| Check::Backend(port));
    http.chain(backends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_requests_than_promised() {
        let ports: Vec<_> = (1..=18).collect();
        assert_eq!(ports.len(), MOST_PORTS);
        let all = at_url(true).len() + elsewhere(Some(80), &ports).len();
        assert_eq!(all, MOST_REQUESTS);
    }
}
