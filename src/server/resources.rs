//! The buffers and connections of one worker.

use mio::Registry;

use super::Limits;
use crate::http1::date::Date;
use crate::proxy::exchange;
use crate::proxy::pool::Pool;

/// What a worker lends to the connection whose turn it is, so that a connection at
/// rest holds no buffer.
pub(crate) struct WorkerResources {
    /// Where what is read comes to first: a head that is held, and a read more.
    pub(super) input: Vec<u8>,
    /// What the one whose turn it is has to write.
    pub(super) output: Vec<u8>,
    /// Connections to backends.
    pub(crate) pool: Pool,
    /// Where they hear of readiness.
    pub(crate) registry: Registry,
    /// The date for answers that have none.
    pub(super) date: Date,
}

impl WorkerResources {
    pub(crate) fn new(limits: &Limits, registry: Registry) -> Self {
        Self {
            input: Self::input(limits),
            output: Vec::with_capacity(exchange::READ_BYTES),
            pool: Pool::default(),
            registry,
            date: Date::default(),
        }
    }

    fn input(limits: &Limits) -> Vec<u8> {
        vec![0; limits.head_bytes + exchange::READ_BYTES]
    }

    /// Replaces what a session that panicked has not given back.
    pub(crate) fn restore(&mut self, limits: &Limits) {
        self.input = Self::input(limits);
        self.output = Vec::with_capacity(exchange::READ_BYTES);
    }
}
