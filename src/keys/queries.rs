//! The commands that change nothing: `keys list`, `keys show` and `keys verify`.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::ReadError;
use super::known_uses::KnownUses;
use super::made::{described, quoted};
use super::rate::Rate;
use super::reader;
use super::record::Record;
use super::text::{self, LONGEST, Malformed, SHORTEST};
use super::time::Time;
use super::{Error, Id, KeyVerdict, Keys, Opened};
use crate::private_file::{self, PrivateFile};
use crate::stderr::say;

/// The states in which a key is good.
const ACTIVE: &str = "active";
const ROTATED: &str = "rotated";

/// A key's state in one word.
pub(super) fn state(record: &Record, now: Time) -> &'static str {
    if record.revoked.is_some() {
        "revoked"
    } else if now < record.created {
        "future"
    } else if record.expires.is_some_and(|expires| expires <= now) {
        "expired"
    } else if record.rotated.is_some() {
        ROTATED
    } else {
        ACTIVE
    }
}

/// What is listed.
pub(super) struct ListOptions {
    pub(super) json: bool,
    /// Only keys that are good and were not used for so many seconds.
    pub(super) unused: Option<u64>,
}

/// Prints every key with its state and its last use, or those that are asked for.
pub(super) fn list(
    path: &Path,
    state_directory: Option<&str>,
    options: &ListOptions,
) -> Result<(), Error> {
    let source = open(path)?;
    let now = Time::now();
    let uses = match options.unused {
        None => known_uses(path, state_directory),
        Some(_) => uses_for(path, state_directory)?,
    };
    let mut to = BufWriter::new(io::stdout().lock());
    let mut first = true;
    // Since when uses are counted, where that is too short to tell of a key.
    let mut too_short = None;
    let mut each = |record: Record| {
        let listed = Listed::new(&record, &uses, now);
        if options.unused.is_some() && !listed.is_good() {
            return Ok(());
        }
        if let Some(seconds) = options.unused
            && !listed.is_unused_for(seconds)
        {
            too_short = too_short.or(listed.is_counted_too_short(seconds));
            return Ok(());
        }
        let first = std::mem::replace(&mut first, false);
        if options.json {
            to.write_all(if first { b"[\n" } else { b",\n" })?;
            listed.write_json(&mut to)
        } else {
            if first {
                write_row(HEADING, &mut to)?;
            }
            listed.write_row(&mut to)
        }
    };
    read_each(path, source, &mut each)?;
    if let Some(since) = too_short {
        warn(Some(format!(
            "uses are counted since {since}; of a key that was not used since then it is not \
             known whether it was used before, so that it is not listed"
        )));
    }
    if first && !options.json {
        say(match options.unused {
            Some(_) => "no key that is good is known to be unused for so long",
            None => "there are no keys",
        });
    }
    if options.json {
        let end = if first { "[]\n" } else { "\n]\n" };
        to.write_all(end.as_bytes()).map_err(unprinted)?;
    }
    to.flush().map_err(unprinted)
}

/// Prints all that is known of one key.
pub(super) fn show(
    path: &Path,
    state_directory: Option<&str>,
    id: Id,
    json: bool,
) -> Result<(), Error> {
    let source = open(path)?;
    let mut found = None;
    let mut each = |record: Record| {
        if record.id() == id {
            found = Some(record);
        }
        Ok(())
    };
    read_each(path, source, &mut each)?;
    let record = found.ok_or(Error::NoSuchKey(id))?;
    let uses = known_uses(path, state_directory);
    let listed = Listed::new(&record, &uses, Time::now());
    let mut to = BufWriter::new(io::stdout().lock());
    let written = if json {
        listed
            .write_json(&mut to)
            .and_then(|()| to.write_all(b"\n"))
    } else {
        listed.write_lines(&mut to)
    };
    written.and_then(|()| to.flush()).map_err(unprinted)
}

fn open(path: &Path) -> Result<File, Error> {
    let PrivateFile { file, warning, .. } = private_file::open(path)?;
    warn(warning);
    Ok(file)
}

fn read_each(
    path: &Path,
    source: File,
    each: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<(), Error> {
    let read = reader::read(source, each);
    read.map(|_| ()).map_err(|error| match error {
        ReadError::Writing(error) => unprinted(error),
        other => other.at(path),
    })
}

/// Passes every key of the file to `each`, and warns of nothing.
pub(super) fn read_all(
    path: &Path,
    each: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<(), Error> {
    read_each(path, private_file::open(path)?.file, each)
}

fn unprinted(error: io::Error) -> Error {
    Error::System("the list cannot be printed".into(), error)
}

/// What is known of uses, where it is no more than one more column.
fn known_uses(path: &Path, state_directory: Option<&str>) -> KnownUses {
    let known = KnownUses::find(path, state_directory).unwrap_or_else(|error| {
        warn(Some(format!(
            "when keys were last used is not known: {error}"
        )));
        KnownUses::default()
    });
    known.warnings.iter().cloned().map(Some).for_each(warn);
    known
}

/// The same where it decides what is listed.
fn uses_for(path: &Path, state_directory: Option<&str>) -> Result<KnownUses, Error> {
    let known = KnownUses::find(path, state_directory).map_err(Error::Uses)?;
    known.warnings.iter().cloned().map(Some).for_each(warn);
    let is_counted = known.since(Time::now()).is_some();
    is_counted
        .then_some(known)
        .ok_or_else(|| Error::NotCounted(path.to_owned()))
}

/// A key, and what is known of it now.
struct Listed<'a> {
    record: &'a Record,
    state: &'static str,
    /// `None` where nobody counts.
    uses: Option<KeyUses>,
    now: Time,
}

/// How a key was used, where that is counted.
struct KeyUses {
    since: Time,
    last: Option<Time>,
    count: u64,
}

const HEADING: [&str; 9] = [
    "ID",
    "STATE",
    "CREATED",
    "EXPIRES",
    "LAST_USED",
    "USES",
    "RATE",
    "BURST",
    "CONSUMER",
];

impl<'a> Listed<'a> {
    fn new(record: &'a Record, known: &KnownUses, now: Time) -> Self {
        let found = known.of(record.id());
        let uses = known.since(now).map(|since| KeyUses {
            since,
            // Uses are kept to the minute, which may have begun before the key was made.
            last: found.map(|found| found.last.max(record.created)),
            count: found.map_or(0, |found| found.count),
        });
        Self {
            record,
            state: state(record, now),
            uses,
            now,
        }
    }

    /// Whether a guard lets it in now; an old one is good while the new one is too.
    fn is_good(&self) -> bool {
        matches!(self.state, ACTIVE | ROTATED)
    }

    /// Whether it is known that the key was not used in these last seconds.
    fn is_unused_for(&self, seconds: u64) -> bool {
        self.uses.as_ref().is_some_and(|uses| {
            // One that was never used may have been so before uses were counted.
            let last = uses.last.unwrap_or(uses.since.max(self.record.created));
            self.now.since(last) >= seconds
        })
    }

    /// Since when uses are counted, where only that keeps a key from being one that was not
    /// used in these last seconds.
    fn is_counted_too_short(&self, seconds: u64) -> Option<Time> {
        let uses = self.uses.as_ref()?;
        let is_old = self.now.since(self.record.created) >= seconds;
        (is_old && uses.last.is_none()).then_some(uses.since)
    }

    fn expires(&self) -> String {
        let expires = self.record.expires;
        expires.map_or("never".into(), |time| time.to_string())
    }

    /// When it was last used, to the minute, and how often; `-` where nobody counts.
    fn used(&self) -> (String, String) {
        match &self.uses {
            None => ("-".into(), "-".into()),
            Some(uses) => {
                let last = uses.last.map_or("never".into(), Time::to_minute_text);
                (last, uses.count.to_string())
            }
        }
    }

    /// How many requests its consumer may send; `-` where the guard's `RATE_LIMIT` is what
    /// holds.
    fn limit(&self) -> (String, String) {
        let rate = self.record.rate.map(Rate::parts);
        rate.map_or(("-".into(), "-".into()), |(rate, burst)| {
            (rate, burst.to_string())
        })
    }

    fn write_row(&self, to: &mut impl Write) -> io::Result<()> {
        let (last, count) = self.used();
        let (rate, burst) = self.limit();
        let row = [
            &self.record.id().to_string(),
            self.state,
            &self.record.created.to_string(),
            &self.expires(),
            &last,
            &count,
            &rate,
            &burst,
            &self.record.consumer,
        ];
        write_row(row, to)
    }

    fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        let (id, state) = (self.record.id(), self.state);
        write!(to, "{{\"id\":\"{id}\",\"state\":\"{state}\",")?;
        self.record.write_fields(to)?;
        if let Some(uses) = &self.uses {
            if let Some(last) = uses.last {
                write!(to, ",\"last_used\":\"{last}\"")?;
            }
            write!(to, ",\"uses\":{}", uses.count)?;
        }
        to.write_all(b"}")
    }

    /// One line for each thing that is known.
    fn write_lines(&self, to: &mut impl Write) -> io::Result<()> {
        let record = self.record;
        let (last, count) = self.used();
        let (rate, burst) = self.limit();
        let time = |time: Option<Time>| time.map(|time| time.to_string());
        for (name, value) in [
            ("id", Some(record.id().to_string())),
            ("state", Some(self.state.to_owned())),
            ("consumer", Some(record.consumer.clone())),
            ("created", Some(record.created.to_string())),
            ("expires", Some(self.expires())),
            ("rotated", time(record.rotated)),
            ("revoked", time(record.revoked)),
            ("last_used", Some(last)),
            ("uses", Some(count)),
            ("rate", Some(rate)),
            ("burst", Some(burst)),
            (
                "metadata",
                record.metadata.as_ref().map(|all| all.as_str().to_owned()),
            ),
        ] {
            if let Some(value) = value {
                writeln!(to, "{name:<9}  {value}")?;
            }
        }
        Ok(())
    }
}

fn write_row(cells: [&str; 9], to: &mut impl Write) -> io::Result<()> {
    let [
        id,
        state,
        created,
        expires,
        last,
        uses,
        rate,
        burst,
        consumer,
    ] = cells;
    writeln!(
        to,
        "{id:<10}  {state:<7}  {created:<20}  {expires:<20}  {last:<20}  {uses:>6}  {rate:>8}  \
         {burst:>6}  {consumer}"
    )
}

fn warn(warning: Option<String>) {
    if let Some(warning) = warning {
        say(&format!("warning: {warning}"));
    }
}

/// Judges the key on stdin as a running guard does.
pub(super) fn verify(path: &Path) -> Result<(), Error> {
    // It has its final capacity from the start, because growing leaves copies behind.
    let mut input = Zeroizing::new(Vec::with_capacity(4098));
    io::stdin()
        .take(4097)
        .read_to_end(&mut input)
        .map_err(|error| Error::System("stdin cannot be read".into(), error))?;
    if input.len() > 4096 {
        return Err(Error::Key(
            "standard input holds more than 4096 bytes; write one key alone".into(),
        ));
    }
    let presented = input.trim_ascii();
    if presented.is_empty() {
        return Err(Error::Key(
            "nothing came on standard input; give the key there: origin-guard keys verify < FILE"
                .into(),
        ));
    }
    let malformed = text::check(presented).err();
    let read = match (Keys::open(path), malformed) {
        // What is malformed is so, whatever the file is.
        (Err(_), Some(error)) if !text::can_be_imported(presented) => {
            return Err(no_key(error, presented));
        }
        (read, _) => read?,
    };
    let Opened { keys, warning } = read;
    warn(warning);
    let (verdict, id, found) = keys.judge(presented, |judgement| {
        let id = judgement.id.map(|id| id.to_string()).unwrap_or_default();
        let found = format!("id={id} consumer={}", quoted(judgement.consumer()));
        (judgement.verdict, judgement.id, found)
    });
    if let (KeyVerdict::Malformed, Some(error)) = (verdict, malformed) {
        return Err(no_key(error, presented));
    }
    let fault = match verdict {
        KeyVerdict::Granted => {
            let found = id.map_or(Ok(found), |id| with_end(path, id))?;
            return writeln!(io::stdout(), "{found}")
                .map_err(|error| Error::System("the result cannot be printed".into(), error));
        }
        KeyVerdict::Revoked => "the key was revoked",
        KeyVerdict::Expired => "the key has expired",
        KeyVerdict::ClockBeforeCreated => {
            "the key was created later than now, so this machine's clock was set back; set it \
             right"
        }
        _ => "the key is well-formed, and none of the file's",
    };
    Err(Error::Key(format!(
        "{fault}: {}",
        found.trim_end_matches(" consumer=")
    )))
}

/// A key of the file as `name=value`, with its end if it has one.
fn with_end(path: &Path, id: Id) -> Result<String, Error> {
    let mut found = None;
    let mut each = |record: Record| {
        if record.id() == id {
            found = Some(described(&record));
        }
        Ok(())
    };
    read_all(path, &mut each)?;
    found.ok_or(Error::NoSuchKey(id))
}

/// Why a text is not a key. One that could have been imported is none of the file's.
fn no_key(error: Malformed, presented: &[u8]) -> Error {
    let length = match error {
        Malformed::Length => format!(", and this has {} bytes", presented.len()),
        _ => String::new(),
    };
    Error::Key(if text::can_be_imported(presented) {
        format!("that is not a key: {error}{length}; nor is it an imported key of the file")
    } else if text::is_prefixed(presented) {
        format!("that is not a key: {error}{length}")
    } else {
        format!(
            "that is not a key: {error}{length}; an imported key has {SHORTEST} to {LONGEST} \
             bytes of visible ASCII"
        )
    })
}
