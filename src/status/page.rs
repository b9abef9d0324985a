//! The operator's page: one document without scripts, which loads itself again.

use std::fmt::{Display, Write as _};

use super::history::{REACH, Rates};
use super::html::Html;
use super::snapshot::{Backend, SecretsState, Snapshot};
use super::words::{self, ago, count, span};
use crate::auth::usage::SecretUse;
use crate::proxy::upstream::BackendState;
use crate::rfc3339;

const STYLE: &str = include_str!("page.css");

/// The plot's own units: its width is [`REACH`], its height the highest rate.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// The page. `nonce` is that of the Content-Security-Policy.
pub(super) fn text(snapshot: &Snapshot, nonce: &str) -> String {
    let mut html = Html::new();
    html.markup(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"5\">\
         <meta name=\"referrer\" content=\"no-referrer\">\
         <title>origin-guard</title><style nonce=\"",
    )
    .text(nonce)
    .markup("\">")
    .markup(STYLE)
    .markup("</style></head><body><main>\n");
    header(&mut html, snapshot);
    tiles(&mut html, snapshot);
    plot(&mut html, &snapshot.rates);
    secrets(&mut html, &snapshot.secrets);
    if !snapshot.backends.is_empty() {
        backends(&mut html, &snapshot.backends);
    }
    if !snapshot.certificates.is_empty() {
        certificates(&mut html, snapshot);
    }
    verdicts(&mut html, snapshot);
    denied(&mut html, snapshot);
    connections(&mut html, snapshot);
    html.markup("</main></body></html>\n");
    html.finish()
}

fn header(html: &mut Html, snapshot: &Snapshot) {
    let problems = snapshot.problems();
    html.markup("<header><h1>origin-guard</h1>");
    if problems.is_empty() {
        html.markup("<span class=\"pill good\">in order</span>");
    } else {
        html.markup("<span class=\"pill bad\">")
            .text(match problems.len() {
                1 => "1 problem".to_owned(),
                many => format!("{many} problems"),
            })
            .markup("</span>");
    }
    html.markup("<p class=\"quiet\">version ")
        .text(env!("CARGO_PKG_VERSION"))
        .markup(", running for ")
        .text(span(snapshot.uptime))
        .markup("</p>");
    for problem in problems {
        html.markup("<p class=\"bad\">")
            .text(problem)
            .markup("</p>");
    }
    html.markup("</header>\n");
}

fn tiles(html: &mut Html, snapshot: &Snapshot) {
    let tally = &snapshot.tally;
    html.markup("<section class=\"wide\"><h2>Since the start</h2><div class=\"tiles\">");
    for (name, number) in [
        ("requests let in", tally.let_in),
        ("denied", tally.denied),
        ("failed", tally.failed),
        ("connections open", snapshot.connections.open),
    ] {
        html.markup("<div class=\"tile\"><b>")
            .text(count(number))
            .markup("</b><span class=\"quiet\">")
            .text(name)
            .markup("</span></div>");
    }
    html.markup("</div></section>\n");
}

/// A series: its name, the class of its line, and its value.
type Series = (&'static str, &'static str, fn(&Rates) -> f64);

const SERIES: [Series; 3] = [
    ("let in", "let-in", |rates| rates.let_in),
    ("denied", "denied", |rates| rates.denied),
    ("failed", "failed", |rates| rates.failed),
];

fn plot(html: &mut Html, rates: &[Rates]) {
    let all = rates
        .iter()
        .flat_map(|rates| SERIES.map(|(_, _, value)| value(rates)));
    let top = round_up(all.fold(0.0, f64::max));
    html.markup("<section class=\"wide\"><h2>Requests a second</h2><p class=\"legend\">");
    for (name, class, value) in SERIES {
        html.markup("<span class=\"")
            .text(class)
            .markup("\"><i>")
            .text(name)
            .markup(" ")
            .text(rate(rates.last().map_or(0.0, value)))
            .markup("</i></span>");
    }
    html.markup("</p><div class=\"plot\"><div class=\"scale\">");
    for part in [1.0, 0.5, 0.0] {
        html.markup("<span>")
            .text(rate(top * part))
            .markup("</span>");
    }
    html.markup(
        "</div><svg viewBox=\"0 0 600 100\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Requests a second in the last ten minutes\">\
         <line x1=\"0\" x2=\"600\" y1=\"0\" y2=\"0\"/><line x1=\"0\" x2=\"600\" y1=\"50\" y2=\"50\"/>\
         <line x1=\"0\" x2=\"600\" y1=\"100\" y2=\"100\"/>",
    );
    // What is drawn last is on top: what is let in is the usual.
    for (_, class, value) in SERIES.iter().rev() {
        html.markup("<polyline class=\"")
            .text(class)
            .markup("\" points=\"")
            .text(points(rates, *value, top))
            .markup("\"/>");
    }
    html.markup(
        "</svg><div class=\"times\"><span>10 min ago</span><span>5</span><span>now</span>\
         </div></div></section>\n",
    );
}

fn points(rates: &[Rates], value: fn(&Rates) -> f64, top: f64) -> String {
    let mut points = String::new();
    for rates in rates.iter().filter(|rates| rates.ago <= REACH) {
        let x = WIDTH * (1.0 - rates.ago.as_secs_f64() / REACH.as_secs_f64());
        let y = HEIGHT * (1.0 - value(rates) / top);
        // Writing to a string cannot fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    points.pop();
    points
}

/// The next of 1, 2, 3, 4, 5, 6, 8, 10, 20 ...
fn round_up(highest: f64) -> f64 {
    let mut decade = 1.0;
    loop {
        for step in [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if step * decade >= highest {
                return step * decade;
            }
        }
        decade *= 10.0;
    }
}

/// A rate, with one digit behind the point where it is small.
fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 && rate.fract() != 0.0 {
        format!("{rate:.1}")
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is no less than 0, and cut off where it is absurd"
        )]
        count(rate.round() as u64)
    }
}

fn secrets(html: &mut Html, secrets: &SecretsState) {
    html.markup("<section><h2>Shared secrets</h2>");
    if secrets.used.is_empty() {
        html.markup("<p>None is configured.</p></section>\n");
        return;
    }
    if secrets.are_checked {
        table(html, &["secret", "#requests", "#last use"]);
        for (at, used) in secrets.used.iter().enumerate() {
            html.markup("<tr><td>").text(if at == 0 {
                "current".to_owned()
            } else if secrets.used.len() == 2 {
                "previous".to_owned()
            } else {
                format!("previous, line {}", at + 1)
            });
            number(html, &count(used.requests));
            number(html, &ago(used.last));
            html.markup("</td></tr>");
            clients(html, used);
        }
        html.markup("</tbody></table>");
    }
    if secrets.is_sent {
        html.markup("<p>The current one goes to the origin with each request that is let in.</p>");
    }
    html.markup("<p class=\"quiet\">From ")
        .text(&secrets.source)
        .markup("</p></section>\n");
}

fn clients(html: &mut Html, used: &SecretUse) {
    let mut row = |client: &dyn Display, requests: u64, last: &str| {
        html.markup("<tr class=\"quiet part\"><td>by ").text(client);
        number(html, &count(requests));
        number(html, last);
        html.markup("</td></tr>");
    };
    for client in &used.clients {
        row(&client.client, client.requests, &ago(client.last));
    }
    if used.by_others > 0 {
        row(&"others", used.by_others, "");
    }
}

fn backends(html: &mut Html, backends: &[Backend]) {
    html.markup("<section><h2>Backends</h2>");
    table(html, &["backend", "#answers", "#failures"]);
    for backend in backends {
        html.markup("<tr><td>").text(&backend.name);
        match backend.state {
            // It answers, and lets nothing through.
            BackendState::Works if backend.refused.is_some_and(|refused| !refused.is_over) => {}
            BackendState::Works => {
                html.markup("<br><span class=\"good\">works</span>");
            }
            BackendState::Fails(since) => {
                html.markup("<br><span class=\"bad\">has failed for ")
                    .text(span(since))
                    .markup("</span>");
            }
            BackendState::LeftAlone(since, left) => {
                html.markup("<br><span class=\"bad\">has failed for ")
                    .text(span(since))
                    .markup(", left alone for ")
                    .text(words::left(left))
                    .markup(" more</span>");
            }
            BackendState::ToBeTried(since) => {
                html.markup("<br><span class=\"quiet\">to be tried again, has failed for ")
                    .text(span(since))
                    .markup("</span>");
            }
            BackendState::Unresolved => {
                html.markup("<br><span class=\"bad\">its name has no address</span>");
            }
        }
        if let Some(refused) = backend.refused {
            html.markup(if refused.is_over {
                "<br><span class=\"quiet\">refused the secret earlier: "
            } else {
                "<br><span class=\"bad\">refuses the secret: "
            })
            .text(words::refused(refused))
            .markup("</span>");
        }
        let answers = backend.totals.answers;
        number(
            html,
            &count(answers.iter().map(|(_, answers)| answers).sum()),
        );
        number(html, &count(backend.totals.failures));
        html.markup("</td></tr>");
        for (class, answers) in answers.iter().filter(|(_, answers)| *answers > 0) {
            html.markup("<tr class=\"quiet part\"><td>").text(class);
            number(html, &count(*answers));
            html.markup("</td><td></td></tr>");
        }
    }
    html.markup("</tbody></table></section>\n");
}

fn certificates(html: &mut Html, snapshot: &Snapshot) {
    html.markup("<section><h2>Certificates</h2>");
    table(html, &["for", "#ends in"]);
    for certificate in &snapshot.certificates {
        html.markup("<tr><td>")
            .text(certificate.names.join(", "))
            .markup("<br><span class=\"quiet\">")
            .text(&certificate.file)
            .markup("<br>until ")
            .text(rfc3339::text(certificate.not_after))
            .markup("</span></td><td class=\"number");
        if certificate.ends_soon(snapshot.now) {
            html.markup(" bad");
        }
        let left = certificate.left(snapshot.now);
        html.markup("\">").text(if left.is_zero() {
            "it has ended".to_owned()
        } else {
            span(left)
        });
        html.markup("</td></tr>");
    }
    html.markup("</tbody></table></section>\n");
}

fn verdicts(html: &mut Html, snapshot: &Snapshot) {
    html.markup("<section><h2>Verdicts</h2>");
    table(html, &["verdict", "answer", "#requests"]);
    for verdict in snapshot.verdicts.iter().filter(|count| count.requests > 0) {
        html.markup("<tr><td>")
            .text(verdict.verdict.replace('_', " "))
            .markup("</td><td>")
            .text(&verdict.status);
        number(html, &count(verdict.requests));
        html.markup("</td></tr>");
    }
    html.markup("</tbody></table></section>\n");
}

fn denied(html: &mut Html, snapshot: &Snapshot) {
    html.markup("<section><h2>Denied clients</h2>");
    if snapshot.denied.is_empty() {
        html.markup("<p>None.</p></section>\n");
        return;
    }
    table(html, &["client", "#denials", "#last"]);
    for denied in &snapshot.denied {
        html.markup("<tr><td>")
            .text(denied.client)
            .markup("<br><span class=\"quiet\">")
            .text(denied.reason.replace('_', " "))
            .markup(" at ")
            .text(&denied.path)
            .markup("</span>");
        number(html, &count(denied.denials));
        number(html, &ago(Some(denied.last)));
        html.markup("</td></tr>");
    }
    html.markup(
        "</tbody></table><p class=\"quiet\">Those that were denied most; of IPv6 by /64.</p>\
         </section>\n",
    );
}

fn connections(html: &mut Html, snapshot: &Snapshot) {
    let connections = &snapshot.connections;
    html.markup("<section><h2>Connections</h2>");
    table(html, &["", "#connections"]);
    let mut row = |name: &str, connections: u64| {
        html.markup("<tr><td>").text(name.replace('_', " "));
        number(html, &count(connections));
        html.markup("</td></tr>");
    };
    row("accepted", connections.accepted);
    row("open", connections.open);
    for (reason, closed) in &connections.closed {
        row(&format!("closed: {reason}"), *closed);
    }
    html.markup("</tbody></table></section>\n");
}

/// Begins a table; columns of numbers begin with `#`.
fn table(html: &mut Html, columns: &[&'static str]) {
    html.markup("<table><thead><tr>");
    for column in columns {
        match column.strip_prefix('#') {
            Some(name) => html.markup("<th class=\"number\">").text(name),
            None => html.markup("<th>").text(column),
        }
        .markup("</th>");
    }
    html.markup("</tr></thead><tbody>");
}

/// Ends a cell, and begins one with a number.
fn number(html: &mut Html, number: &str) {
    html.markup("</td><td class=\"number\">").text(number);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_scale_is_round() {
        for (highest, top) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (2.5, 3.0),
            (5.1, 6.0),
            (720.0, 800.0),
            (810.0, 1000.0),
        ] {
            assert!((round_up(highest) - top).abs() < f64::EPSILON, "{highest}");
        }
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (2.0, "2"),
            (9.96, "10.0"),
            (1234.5, "1,235"),
        ] {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn the_newest_is_at_the_right_and_the_highest_at_the_top() {
        let at = |ago, let_in| Rates {
            ago: Duration::from_secs(ago),
            let_in,
            denied: 0.0,
            failed: 0.0,
        };
        let rates = [at(900, 1.0), at(600, 0.0), at(300, 1.0), at(0, 2.0)];
        let points = points(&rates, |rates| rates.let_in, 2.0);
        assert_eq!(points, "0.0,100.0 300.0,50.0 600.0,0.0");
    }
}
