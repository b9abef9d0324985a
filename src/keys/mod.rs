//! API keys: their text, their file, the index that judges them, and the commands.
//!
//! The file holds only digests. A key's text is shown once, when the key is made. [`text`]
//! documents the text, [`record`] the file.

pub mod add_uses;
pub mod cli;
pub mod commands;
mod edit;
mod error;
mod fields;
mod id;
mod import;
mod index;
mod json_stream;
mod known_uses;
mod leaked;
mod line;
mod made;
mod metadata;
mod mistaken;
mod queries;
mod rate;
mod reader;
pub mod record;
mod rotate;
mod store;
mod table;
pub mod text;
pub mod time;
mod unique_names;
mod use_counts;
pub mod use_file;
mod verdict;

pub use error::{Error, FieldError};
pub use id::Id;
pub use index::{Index, Judgement, Limits, Permit};
pub use leaked::LeakedKey;
pub use mistaken::Mistaken;
pub use rate::{Exceeded, Rate, RateError, Usage};
pub use store::{Keys, Opened};
pub use use_counts::KeyUse;
pub use verdict::KeyVerdict;
