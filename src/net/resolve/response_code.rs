//! Why a name server gives no answer.

use std::fmt;

use simple_dns::RCODE;

/// Displays as the name that IANA's registry of DNS RCODEs has, and what it means.
pub(super) struct ResponseCode(pub(super) RCODE);

impl fmt::Display for ResponseCode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self.0 {
            RCODE::NoError => "NOERROR (nothing is wrong)",
            RCODE::FormatError => "FORMERR (it cannot read the question)",
            RCODE::ServerFailure => {
                "SERVFAIL (it could not find out: it, or the servers that it asks, have failed)"
            }
            RCODE::NameError => "NXDOMAIN (there is no such name)",
            RCODE::NotImplemented => "NOTIMP (it does not answer questions of this kind)",
            RCODE::Refused => "REFUSED (it does not answer this machine, or not for this name)",
            RCODE::NOTAUTH => "NOTAUTH (it is not in charge of the name, or wants a signature)",
            RCODE::NOTZONE => "NOTZONE (the name is not in its zone)",
            RCODE::YXDOMAIN => "YXDOMAIN (the name is there and should not be)",
            RCODE::YXRRSET => "YXRRSET (the record is there and should not be)",
            RCODE::NXRRSET => "NXRRSET (the record is not there and should be)",
            RCODE::BADVERS => "BADVERS (it does not know EDNS of version 0)",
            RCODE::Reserved => "a code that is not known here",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The match has an arm for each; here is that none is shown as it is called in code.
    #[test]
    fn each_code_is_told_by_its_name_and_in_words() {
        for number in 0..=u16::from(u8::MAX) {
            let code = RCODE::from(number);
            let said = ResponseCode(code).to_string();
            let known = said.split_once(" (");
            assert_eq!(known.is_some(), code != RCODE::Reserved, "{said}");
            if let Some((name, meaning)) = known {
                let is_capital = |byte: u8| byte.is_ascii_uppercase();
                assert!(name.bytes().all(is_capital), "{said}");
                assert!(meaning.split(' ').count() > 2, "{said}");
            }
        }
    }
}
