//! A real Chromium without a window, driven over `WebDriver` (W3C) by chromedriver.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::folder::Folder;
use super::{Answer, PATIENCE, installed, path_of};

/// A browser with one window. It ends when dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: Folder,
}

/// Colours that a page is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// Starts one; `None`, in a visible line, where Chromium is not installed. `name` tells
    /// its profile from those of other tests.
    pub fn start(name: &str) -> Option<Self> {
        let remedy = "apt install chromium chromium-driver";
        if !installed("chromium", remedy) || !installed("chromedriver", remedy) {
            return None;
        }
        let profile = Folder::new(&format!("browser-{name}"));
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", &profile.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let started = "started successfully on port ";
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let port = line.split_once(started)?.1;
            port.trim_end_matches('.').parse().ok()
        });
        // It goes on to print, and must not wait for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let folder = format!("--user-data-dir={}", profile.path.display());
        let mut browser = Self {
            driver,
            port: port.expect("chromedriver says its port"),
            session: String::new(),
            _profile: profile,
        };
        let options = json!({
            "binary": path_of("chromium").expect("found before"),
            // Its sandbox needs a user who is not root.
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--hide-scrollbars", folder],
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.call("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().map(str::to_owned).expect("one");
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        // A browser that starts beside other tests takes a while.
        let patience = Some(4 * PATIENCE);
        stream.set_read_timeout(patience).expect("a timeout");
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        let sent = stream.write_all([head, body].concat().as_bytes());
        sent.expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        let mut json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, 200, "{method} {path}: {json}");
        json["value"].take()
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{what}", self.session), body)
    }

    /// A command of Chrome's protocol for its developers' tools.
    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let call = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", &call)
    }

    /// Opens `url`, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// What the body of a function `script` returns in the page.
    pub fn run(&self, script: &str) -> Value {
        let call = json!({ "script": script, "args": [] });
        self.post("execute/sync", &call)
    }

    /// Waits until `script` returns true.
    pub fn wait_for(&self, script: &str) {
        let since = Instant::now();
        while self.run(script) != true {
            assert!(since.elapsed() < PATIENCE, "never: {script}");
        }
    }

    /// What the console has said since the last call.
    pub fn console(&self) -> Vec<String> {
        let said = self.post("se/log", &json!({ "type": "browser" }));
        let entries = said.as_array().expect("a list").iter();
        entries
            .map(|entry| entry["message"].as_str().expect("text").to_owned())
            .collect()
    }

    /// Makes the window so wide, with these colours.
    pub fn look(&self, width: u32, scheme: Scheme) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        let media = json!({ "features": features });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// A picture of the whole page, as PNG.
    pub fn save_picture(&self, to: &Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", &whole);
        let data = picture["data"].as_str().expect("base64");
        let png = BASE64.decode(data.as_bytes()).expect("base64");
        std::fs::write(to, png).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let end = || self.call("DELETE", &path, &json!({}));
            // Whatever it says, the driver ends next.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
