//! `origin-guard keys`: makes keys, lists, revokes, rotates and removes them.
//!
//! The result goes to stdout, everything else to stderr.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cli::{Action, KeysArgs, RateText};
use super::edit::{Change, edit};
use super::id::Ids;
use super::line::Line;
use super::made::{described, fresh, new_consumer, quoted, show};
use super::metadata::Metadata;
use super::queries::{self, ListOptions};
use super::rate::{Rate, RateError};
use super::record::Record;
use super::rotate::rotate;
use super::text::Key;
use super::time::{Time, span};
use super::unique_names::UniqueNames;
use super::use_file::STATE_DIRECTORY;
use super::{Error, Id, import};
use crate::notations::SPAN;
use crate::shell::word;
use crate::stderr::say;

/// The variable that names the file.
pub const FILE: &str = "API_KEYS_FILE";

/// Runs a command; `variable` is [`std::env::var_os`] as a rule.
///
/// # Errors
///
/// What could not be done, and why; its status is the command's.
pub fn run(command: KeysArgs, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), Error> {
    if command
        .file
        .as_deref()
        .is_some_and(|path| path.as_os_str().is_empty())
    {
        return Err(Error::Usage(
            "--file is empty; write the path of the file of keys".to_owned(),
        ));
    }
    let named = || variable(FILE).filter(|path| !path.is_empty());
    // What a line that is shown says of the file.
    let of_file = command.file.as_deref().map_or(String::new(), |path| {
        format!(" --file {}", word(&path.to_string_lossy()))
    });
    let line = |command, operand: &str, options: &str| Line {
        command,
        operand: operand.to_owned(),
        options: format!("{options}{of_file}"),
    };
    let path = command
        .file
        .or_else(|| named().map(PathBuf::from))
        .ok_or_else(|| {
            Error::Usage(format!("no file is named; set {FILE}, or give --file PATH"))
        })?;
    // A name that is not UTF-8 is none that systemd gives.
    let states = variable(STATE_DIRECTORY).and_then(|list| list.into_string().ok());
    match command.action {
        Action::Add {
            consumer,
            expires,
            metadata,
            rate,
        } => {
            let rate = rate.map(|rate| parse_new_rate(&rate)).transpose()?;
            add(
                &path,
                consumer,
                expires.as_deref(),
                metadata.as_deref(),
                rate,
            )
        }
        Action::Limit { consumer, rate } => {
            let burst = rate.burst.as_deref();
            let burst = burst.map_or(String::new(), |burst| format!(" --burst {}", word(burst)));
            let options = format!(" --rate {}{burst}", word(&rate.rate));
            let line = line("limit", &consumer, &options);
            let rate = parse_rate(&rate)?;
            by_consumer(&path, &line, limit(&path, consumer, rate))
        }
        Action::Import { consumer } => import::import(&path, consumer),
        Action::List { json, unused } => {
            let unused = unused.as_deref().map(parse_unused).transpose()?;
            queries::list(&path, states.as_deref(), &ListOptions { json, unused })
        }
        Action::Show { id, json } => {
            let line = line("show", &id, if json { " --json" } else { "" });
            by_id(&path, &line, |id| {
                queries::show(&path, states.as_deref(), id, json)
            })
        }
        Action::Revoke { id } => {
            let line = line("revoke", &id, "");
            by_id(&path, &line, |id| revoke(&path, id))
        }
        Action::Rotate { id, overlap } => {
            let line = line("rotate", &id, &format!(" --overlap {}", word(&overlap)));
            by_id(&path, &line, |id| rotate(&path, id, &overlap))
        }
        Action::Remove { consumer } => {
            let line = line("rm", &consumer, "");
            by_consumer(&path, &line, remove(&path, consumer))
        }
        Action::Verify => queries::verify(&path),
    }
}

fn parse_unused(text: &str) -> Result<u64, Error> {
    span(text).ok_or_else(|| Error::Usage(SPAN.fault("--unused", text)))
}

/// Runs a command on the key whose id the line holds.
fn by_id(path: &Path, line: &Line, run: impl FnOnce(Id) -> Result<(), Error>) -> Result<(), Error> {
    let id = Id::parse(&line.operand).ok_or(Error::NotAnId);
    id.and_then(run).map_err(|error| match error {
        Error::NotAnId | Error::NoSuchKey(_) => line.name_for_id(path, error),
        other => other,
    })
}

/// The result of a command on a consumer, with what may have been meant where it has no key.
fn by_consumer(path: &Path, line: &Line, result: Result<(), Error>) -> Result<(), Error> {
    result.map_err(|error| match error {
        Error::NoKeysOf(_) => line.id_for_name(path, error),
        other => other,
    })
}

/// What `keys limit --rate` takes for no rate.
const NO_RATE: &str = "none";

/// The rate of a new key; a key that is added takes none away.
fn parse_new_rate(text: &RateText) -> Result<Rate, Error> {
    parse_rate(text)?.ok_or_else(|| {
        Error::Usage(
            "--rate: none is no rate; leave --rate out, or take the consumer's rate away with \
             `origin-guard keys limit CONSUMER --rate none`"
                .into(),
        )
    })
}

/// A rate, or `none`.
fn parse_rate(text: &RateText) -> Result<Option<Rate>, Error> {
    let fault = |name: &str, text: &str, error: RateError| {
        Error::Usage(format!("{name}: {text:?} {error}"))
    };
    if text.rate == NO_RATE {
        if text.burst.is_some() {
            return Err(Error::Usage(
                "--burst: there is nothing to burst where --rate is none; leave --burst out".into(),
            ));
        }
        return Ok(None);
    }
    if let (true, Some(_)) = (text.rate.contains(" burst="), &text.burst) {
        return Err(Error::Usage(format!(
            "--burst: {:?} names a burst already; name it once",
            text.rate
        )));
    }
    let rate = Rate::parse(&text.rate).map_err(|error| fault("--rate", &text.rate, error))?;
    match &text.burst {
        None => Ok(Some(rate)),
        Some(burst) => {
            let rate = rate.with_burst(burst);
            rate.map(Some)
                .map_err(|error| fault("--burst", burst, error))
        }
    }
}

struct Limit {
    consumer: String,
    rate: Option<Rate>,
    count: usize,
    is_changed: bool,
}

impl Change for Limit {
    fn key(&mut self, record: &mut Record) -> bool {
        if record.consumer == self.consumer {
            self.is_changed |= record.rate != self.rate;
            record.rate = self.rate;
            self.count += 1;
        }
        true
    }

    fn added(&mut self, _: &Ids) -> Result<Vec<Record>, Error> {
        if self.count == 0 {
            return Err(Error::NoKeysOf(self.consumer.clone()));
        }
        Ok(Vec::new())
    }

    fn is_changed(&self) -> bool {
        self.is_changed
    }
}

fn limit(path: &Path, consumer: String, rate: Option<Rate>) -> Result<(), Error> {
    let mut change = Limit {
        consumer,
        rate,
        count: 0,
        is_changed: false,
    };
    edit(path, false, &mut change)?;
    let rate = change
        .rate
        .map_or("none".to_owned(), |rate| rate.to_string());
    let before = if change.is_changed { "" } else { "unchanged: " };
    say(&format!(
        "{before}rate={} keys={} consumer={}",
        quoted(&rate),
        change.count,
        quoted(&change.consumer)
    ));
    Ok(())
}

struct Add {
    /// The new key, except for its digest.
    record: Option<Record>,
    /// Whether the new key's rate is its consumer's from now on.
    sets_rate: bool,
    /// How many other keys got another rate.
    changed: usize,
    made: Option<(Key, String)>,
}

impl Change for Add {
    /// All keys of a consumer share its rate.
    fn key(&mut self, record: &mut Record) -> bool {
        if let Some(added) = &mut self.record
            && added.consumer == record.consumer
        {
            if self.sets_rate {
                self.changed += usize::from(record.rate != added.rate);
                record.rate = added.rate;
            } else {
                added.rate = record.rate;
            }
        }
        true
    }

    fn added(&mut self, taken: &Ids) -> Result<Vec<Record>, Error> {
        let key = fresh(taken)?;
        if let Some(record) = &mut self.record {
            record.digest = key.digest();
            self.made = Some((key, described(record)));
        }
        Ok(self.record.take().into_iter().collect())
    }
}

fn add(
    path: &Path,
    consumer: String,
    expires: Option<&str>,
    metadata: Option<&str>,
    rate: Option<Rate>,
) -> Result<(), Error> {
    new_consumer(&consumer)?;
    let now = Time::now();
    let expires = expires.map(|text| parse_expiry(text, now)).transpose()?;
    let metadata = metadata.map(parse_metadata).transpose()?.flatten();
    let record = Record {
        digest: [0; 32],
        consumer,
        created: now,
        expires,
        rotated: None,
        revoked: None,
        rate,
        metadata,
        unknown: Vec::new(),
    };
    let mut change = Add {
        record: Some(record),
        sets_rate: rate.is_some(),
        changed: 0,
        made: None,
    };
    edit(path, true, &mut change)?;
    if let (1.., Some(rate)) = (change.changed, rate) {
        let (count, keys) = (
            change.changed,
            if change.changed == 1 { "key" } else { "keys" },
        );
        say(&format!(
            "{count} other {keys} of this consumer got the rate {rate}, too"
        ));
    }
    change
        .made
        .map_or(Ok(()), |(key, described)| show(&key, &described))
}

fn parse_expiry(text: &str, now: Time) -> Result<Time, Error> {
    let fault = |what: &str| {
        Error::Usage(format!(
            "--expires: {text:?} {what}; write {}, such as 90d; or a date such as 2027-01-31, \
             whose first second in UTC it is, or 2027-01-31T12:00:00Z",
            SPAN.rule
        ))
    };
    let time = match span(text) {
        Some(seconds) => now
            .after(seconds)
            .ok_or_else(|| fault("ends past the year 9999"))?,
        None => Time::of_date(text)
            .or_else(|| Time::parse(text))
            .ok_or_else(|| fault("is neither a span nor a time"))?,
    };
    if time <= now {
        return Err(match span(text) {
            Some(_) => fault("ends at once"),
            None => fault("is over"),
        });
    }
    Ok(time)
}

fn parse_metadata(json: &str) -> Result<Option<Metadata>, Error> {
    // This is stricter than reading the file: nothing goes there that other programs
    // cannot read.
    let fault = |what: &dyn fmt::Display| Error::Usage(format!("--metadata: {what}"));
    serde_json::from_str::<Value>(json)
        .map_err(|error| fault(&format!("it is not JSON: {error}")))?;
    serde_json::from_str::<UniqueNames>(json)
        .map_err(|error| fault(&format!("{error}; name it once")))?;
    let metadata = Metadata::of_valid_json(json).map_err(|error| fault(&format!("it {error}")))?;
    if metadata.is_none() {
        say("the metadata is empty, so the key has none");
    }
    Ok(metadata)
}

struct Revoke {
    id: Id,
    now: Time,
    /// What there was to revoke, and since when it was revoked before.
    found: Option<(String, Option<Time>)>,
}

impl Change for Revoke {
    fn key(&mut self, record: &mut Record) -> bool {
        if record.id() == self.id {
            self.found = Some((described(record), record.revoked));
            record.revoked.get_or_insert(self.now);
        }
        true
    }

    fn added(&mut self, _: &Ids) -> Result<Vec<Record>, Error> {
        self.found
            .as_ref()
            .map(|_| Vec::new())
            .ok_or(Error::NoSuchKey(self.id))
    }

    fn is_changed(&self) -> bool {
        !matches!(self.found, Some((_, Some(_))))
    }
}

fn revoke(path: &Path, id: Id) -> Result<(), Error> {
    let mut change = Revoke {
        id,
        now: Time::now(),
        found: None,
    };
    edit(path, false, &mut change)?;
    match change.found {
        Some((described, Some(since))) => {
            say(&format!(
                "unchanged, it was revoked already: revoked={since} {described}"
            ));
        }
        Some((described, None)) => say(&format!("revoked={} {described}", change.now)),
        None => {}
    }
    Ok(())
}

struct Remove {
    consumer: String,
    count: usize,
}

impl Change for Remove {
    fn key(&mut self, record: &mut Record) -> bool {
        let keep = record.consumer != self.consumer;
        self.count += usize::from(!keep);
        keep
    }

    fn added(&mut self, _: &Ids) -> Result<Vec<Record>, Error> {
        if self.count == 0 {
            return Err(Error::NoKeysOf(self.consumer.clone()));
        }
        Ok(Vec::new())
    }
}

fn remove(path: &Path, consumer: String) -> Result<(), Error> {
    let mut change = Remove { consumer, count: 0 };
    edit(path, false, &mut change)?;
    say(&format!(
        "removed={} consumer={}",
        change.count,
        quoted(&change.consumer)
    ));
    Ok(())
}
