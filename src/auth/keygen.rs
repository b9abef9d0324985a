//! Fresh secrets.

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

/// 256 random bits in unpadded base64url (RFC 4648, section 5), and a line break.
///
/// # Errors
///
/// If the system has no randomness.
pub fn secret() -> Result<Zeroizing<String>, std::io::Error> {
    let mut bits = Zeroizing::new([0; 32]);
    crate::random::fill(&mut *bits)?;
    let mut text = Zeroizing::new(BASE64URL_NOPAD.encode(&*bits));
    text.push('\n');
    Ok(text)
}
