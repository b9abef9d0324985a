//! Which peers `LISTEN` takes connections from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::server::AllowList;

use super::error::ValueError;
use super::reader::Reader;

const LIST: &str = "ALLOW_FROM";
const FILE: &str = "ALLOW_FROM_FILE";

/// Both variables are set.
#[derive(Debug)]
struct Both;

impl fmt::Display for Both {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the networks are also in {LIST}; keep one of the two")
    }
}

impl std::error::Error for Both {}

impl Reader<'_> {
    /// `None` where everybody may connect.
    pub(super) fn allow_from(&mut self) -> Option<Arc<AllowList>> {
        let list = self.value(LIST, |text| match text {
            "" => Ok(None),
            text => AllowList::parse(text)
                .map(Some)
                .map_err(|error| ValueError::Other(error.into())),
        });
        let file = self.value(FILE, |text| Ok(text.to_owned()));
        if file.is_empty() {
            for warning in list.iter().flat_map(AllowList::warnings) {
                self.warn(LIST, warning);
            }
            return list.map(Arc::new);
        }
        if self.is_set(LIST) {
            self.fault(FILE, Both);
            return None;
        }
        match AllowList::open(PathBuf::from(file)) {
            Ok(list) => {
                for warning in list.warnings() {
                    self.warn(FILE, warning);
                }
                self.effective
                    .push(("allowed_networks", list.count().to_string()));
                Some(Arc::new(list))
            }
            Err(fault) => {
                self.fault(FILE, fault);
                None
            }
        }
    }
}
