//! CORS as a real Chromium sees it: pages of one origin that ask the gateway of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use crate::both::gateway;
use crate::scripted::Backend;
use crate::support::Guard;
use crate::support::browser::Browser;
use crate::support::keys::KeyFile;

/// Whether a page may read each answer, and what it reads. `key` is undefined for none.
const ASK: &str = r#"
    const ask = async (key, options = {}) => {
        const headers = { ...(key ? { Authorization: "Bearer " + key } : {}), ...options.headers };
        try {
            const answer = await fetch(GATEWAY, { ...options, headers });
            const field = (name) => answer.headers.get(name);
            return [answer.status, await answer.text(), field("Retry-After") !== null,
                field("RateLimit"), field("X-Hidden")];
        } catch (error) {
            return error.name;
        }
    };
"#;

struct Setting {
    _keys: KeyFile,
    /// A key of alice, and one of bob, who may ask once in an hour.
    key: String,
    limited: String,
    gateway: Guard,
    /// Requests that have come to the origin behind the gateway.
    arrived: Arc<AtomicUsize>,
    /// The same pages, by an origin that may read and by one that may not.
    allowed: String,
    other: String,
}

fn start(name: &str) -> Setting {
    let pages = Backend::new();
    let other = pages.url();
    // Another name makes it another origin.
    let allowed = other.replace("127.0.0.1", "localhost");
    pages.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n\
                 <!doctype html>a page",
            );
        }
    });
    let arrived = Arc::new(AtomicUsize::new(0));
    let origin = Backend::new();
    let url = origin.url();
    let counted = Arc::clone(&arrived);
    origin.serve(move |mut peer| {
        while let Some(head) = peer.try_head() {
            counted.fetch_add(1, SeqCst);
            assert!(!head.line.starts_with("OPTIONS"), "a preflight: {head:?}");
            assert_eq!(head.field("authorization"), None);
            // Its own word on who may read is not the gateway's.
            peer.send(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-Hidden: 1\r\n\
                 Content-Length: 7\r\n\r\narrived",
            );
        }
    });
    let keys = KeyFile::new(name);
    let key = keys.add("alice", &[]);
    let limited = keys.add("bob", &["--rate", "1/1h"]);
    let gateway = gateway(&keys, &url, &[("CORS_ORIGINS", &allowed)]);
    Setting {
        _keys: keys,
        key,
        limited,
        gateway,
        arrived,
        allowed,
        other,
    }
}

impl Setting {
    /// What `script`, which may `await ask(key, options)`, returns in the open page.
    fn run(&self, browser: &Browser, script: &str) -> Value {
        let url = format!("http://{}/orders", self.gateway.address);
        let ask = ASK.replace("GATEWAY", &format!("{url:?}"));
        browser.run(&format!("{ask} return (async () => {{ {script} }})()"))
    }
}

#[test]
fn a_page_of_a_listed_origin_reads_answers_and_denials() {
    let Some(browser) = Browser::start("cors") else {
        return;
    };
    let setting = start("edge-browser");
    let Setting { key, limited, .. } = &setting;
    browser.open(&setting.allowed);
    let granted = json!([200, "arrived", false, null, null]);
    let script = format!(
        "return [
            await ask({key:?}),
            await ask({key:?}, {{ method: 'PUT', headers: {{
                'Content-Type': 'application/json', 'X-Other': '1' }} }}),
            await ask(undefined),
            await ask('og_wrong'),
            await ask({limited:?}),
            await ask({limited:?}),
            await ask({key:?}, {{ credentials: 'include' }}),
        ]"
    );
    let answers = setting.run(&browser, &script);
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers[0], granted);
    assert_eq!(answers[1], granted, "a preflight with three fields");
    assert_eq!(
        answers[2],
        json!([401, r#"{"error":"No API key provided"}"#, false, null, null])
    );
    assert_eq!(
        answers[3],
        json!([401, r#"{"error":"Invalid API key"}"#, false, null, null])
    );
    assert_eq!(answers[4], granted);
    assert_eq!(answers[5][0], 429, "{answers:?}");
    assert_eq!(answers[5][1], r#"{"error":"Too many requests"}"#);
    assert_eq!(answers[5][2], true, "Retry-After can be read");
    let rate = answers[5][3].as_str().unwrap_or_default();
    assert!(rate.starts_with("\"consumer\";r=0;t="), "{answers:?}");
    assert_eq!(answers[6], "TypeError", "no answer allows credentials");
    assert_eq!(
        setting.arrived.load(SeqCst),
        3,
        "what is granted; a preflight stops what would come with cookies"
    );
}

#[test]
fn a_page_of_another_origin_reads_nothing_and_its_key_does_not_arrive() {
    let Some(browser) = Browser::start("cors-other") else {
        return;
    };
    let setting = start("edge-browser-other");
    let key = &setting.key;
    let before = setting.arrived.load(SeqCst);
    browser.open(&setting.other);
    let script = format!(
        "return [await ask({key:?}), await ask(undefined), await ask({key:?}, {{ method: 'PUT' }})]"
    );
    let answers = setting.run(&browser, &script);
    assert_eq!(answers, json!(["TypeError", "TypeError", "TypeError"]));
    // A sandboxed frame of a listed page has the origin `null`.
    browser.open(&setting.allowed);
    let frame = format!("{ASK} ask({key:?}).then(answer => parent.postMessage(answer, \"*\"));");
    let frame = frame.replace(
        "GATEWAY",
        &format!("\"http://{}/orders\"", setting.gateway.address),
    );
    let document = json!(format!("<script>{frame}</script>"));
    let script = format!(
        "const frame = document.createElement('iframe');
         frame.sandbox = 'allow-scripts';
         const said = new Promise(done => addEventListener('message', event =>
             done([event.origin, event.data])));
         frame.srcdoc = {document};
         document.body.append(frame);
         return await said;"
    );
    assert_eq!(setting.run(&browser, &script), json!(["null", "TypeError"]));
    assert_eq!(
        setting.arrived.load(SeqCst),
        before,
        "no preflight let one through"
    );
}
