//! What an event of epoll(7) is for.

use mio::Token;

/// The side of an exchange that a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A connection that was accepted.
    Client,
    /// A connection that was made to a backend.
    Backend,
}

/// A connection of a worker. The generation tells it from those that had the same slot
/// before, so that a late event never reaches the next connection there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionToken {
    /// The slot, and the side in its lowest bit.
    slot_and_side: u32,
    /// How many connections had the slot before.
    pub generation: u32,
}

impl ConnectionToken {
    /// `slot` is below 2^31.
    #[must_use]
    pub fn new(side: Side, slot: usize, generation: u32) -> Self {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        Self {
            slot_and_side: slot << 1 | u32::from(side == Side::Backend),
            generation,
        }
    }

    /// The side of the exchange.
    #[must_use]
    pub fn side(self) -> Side {
        if self.slot_and_side & 1 == 0 {
            Side::Client
        } else {
            Side::Backend
        }
    }

    /// The slot in the table of that side.
    #[must_use]
    pub fn slot(self) -> usize {
        (self.slot_and_side >> 1) as usize
    }
}

impl From<ConnectionToken> for Token {
    fn from(token: ConnectionToken) -> Self {
        Self((token.generation as usize) << 32 | token.slot_and_side as usize)
    }
}

impl From<Token> for ConnectionToken {
    fn from(Token(number): Token) -> Self {
        let half = |number: usize| u32::try_from(number & 0xffff_ffff).unwrap_or_default();
        Self {
            slot_and_side: half(number),
            generation: half(number >> 32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        for (side, slot, generation) in [
            (Side::Client, 0, 0),
            (Side::Backend, 0, 1),
            (Side::Client, 999_999, u32::MAX),
            (Side::Backend, (1 << 31) - 2, 7),
        ] {
            let token = ConnectionToken::new(side, slot, generation);
            let token = ConnectionToken::from(Token::from(token));
            assert_eq!((token.side(), token.slot()), (side, slot));
            assert_eq!(token.generation, generation);
        }
    }
}
