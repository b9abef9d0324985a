//! The rules by which a verdict is given: one table, from which the judge takes its verdicts
//! and docs/probe.md its own table.

use std::fmt::Write as _;

use super::report::Verdict;

/// Declares the rules: `Name: Verdict, "what is asked", "what comes";`.
macro_rules! rules {
    ($($name:ident: $verdict:ident, $asked:literal, $comes:literal;)*) => {
        /// Why a verdict is given.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Rule {
            $($name,)*
        }

        impl Rule {
            const ALL: &[Self] = &[$(Self::$name,)*];

            pub(super) fn verdict(self) -> Verdict {
                match self {
                    $(Self::$name => Verdict::$verdict,)*
                }
            }

            /// What is asked, and what comes.
            fn words(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($asked, $comes),)*
                }
            }
        }
    };
}

rules! {
    GatewayLetIn: Ok, "the right secret, first and last", "any status but the next ones";
    GatewayRefused: Fault, "the right secret, first and last", "401";
    GatewayUnknown: Inconclusive, "the right secret, first and last",
        "400, 403, 429, 5xx or no answer; at the end, whatever is not let in if the first one was";
    Denied: Ok, "any other secret, or none", "401";
    DeniedOtherwise: Ok, "any other secret, or none",
        "another status than the right secret gets (but 2xx, 429 and 5xx); a 403 or the end of \
         the connection, if the right secret is let in at the end, too";
    GotThrough: Hole, "any other secret, or none", "2xx";
    DenialUnknown: Inconclusive, "any other secret, or none",
        "429, 5xx, no answer, the status that the right secret gets, or one that tells nothing \
         while the right secret is not let in or not known";
    PlainToHttps: Ok, "plain HTTP at `--http-port`, no secret", "a redirect to https";
    PlainClosed: Ok, "plain HTTP at `--http-port`, no secret",
        "no connection, or its end without an answer";
    PlainNotServed: Ok, "plain HTTP at `--http-port`, no secret",
        "another status than the right secret gets over https (but 2xx, 401, 403, 429 and 5xx)";
    PlainAsks: Warning, "plain HTTP at `--http-port`, no secret",
        "401 or 403: it is open and denies, so that a gateway could send the secret there";
    PlainOpen: Hole, "plain HTTP at `--http-port`, no secret", "2xx";
    PlainUnknown: Inconclusive, "plain HTTP at `--http-port`, no secret",
        "whatever else: 429, 5xx, no HTTP, or a status that tells nothing";
    PlainUrl: Fault, "a URL of `http://`", "it is not a loopback address that the URL names";
    SpeaksTls: Inconclusive, "a URL of `http://`", "TLS is spoken at its port";
    BackendClosed: Ok, "a port of `--backend-ports`", "no connection, or its end without an answer";
    BackendDenies: Ok, "a port of `--backend-ports`", "401, or a redirect to https";
    BackendUnknown: Inconclusive, "a port of `--backend-ports`",
        "400, 403, 429, 5xx, or what is no HTTP";
    BackendReached: Hole, "a port of `--backend-ports`", "whatever else, from another machine";
    BackendReachedHere: Inconclusive, "a port of `--backend-ports`",
        "whatever else, from the machine itself (loopback)";
    CertificateGood: Ok, "the certificate", "it is verified";
    CertificateEndsSoon: Warning, "the certificate", "it ends within 14 days";
    CertificateFaulty: Fault, "the certificate",
        "it cannot be verified: it has ended, is for another name, or its issuer is not trusted";
    TellsVersion: Warning, "what answers tell", "a version, or a trace of the program";
    TellsName: Note, "what answers tell", "the name of a program";
    NoAddress: Inconclusive, "the address", "none is known for the name";
    SeveralAddresses: Note, "the address", "the name has several; one of them is asked";
    NotAsked: Inconclusive, "any request", "it is not sent, because the address did not answer before";
    LeftOut: Skipped, "any check", "it is left out; the line says why";
}

/// All rules in the order of the table, with the exit status where nothing worse is found, in
/// Markdown: as docs/probe.md has it.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| asked | answer | verdict | exit |\n| --- | --- | --- | --- |\n");
    for rule in Rule::ALL {
        let ((asked, comes), verdict) = (rule.words(), rule.verdict());
        let (name, status) = (verdict.name(), verdict.status());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {asked} | {comes} | `{name}` | {status} |");
    }
    text
}
