//! What a session holds, in its own buffers and in the kernel, and how it gives that back.

use super::deadlines::patience;
use super::{Action, Session, SessionContext, State};
use crate::http1::error::RequestError;
use crate::server::counters;
use crate::server::resources::WorkerResources;
use crate::server::slots::Standing;

impl Session {
    /// Bytes of memory that it holds between its turns.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        let exchange = self.exchange.as_ref().map_or(0, |exchange| exchange.held());
        let own = self.input.capacity() + self.output.capacity() + self.transport.held();
        own + exchange + self.kernel_held
    }

    /// Takes account of what the kernel holds for it. Where nothing is forwarded its
    /// buffers are small, and there are no more of them than slots.
    pub(super) fn measure_kernel(&mut self, context: &SessionContext<'_>) {
        if context.relay.is_none() {
            return;
        }
        let backend = self.backend_transport();
        let backend = backend.map_or(0, |backend| backend.kernel_held());
        self.kernel_held = backend + self.transport.kernel_held();
    }

    /// Bounds what the kernel may hold for it, because all connections together hold too
    /// much.
    pub(crate) fn bound_kernel(&mut self, context: &SessionContext<'_>) {
        self.transport.bound_kernel();
        if let Some(backend) = self.backend_transport() {
            backend.bound_kernel();
        }
        self.measure_kernel(context);
    }

    /// Gives back the memory that it holds, because all connections together hold too much.
    pub(crate) fn give_back(
        &mut self,
        context: &SessionContext<'_>,
        _: &mut WorkerResources,
    ) -> Action {
        if self.state == State::ReadingHead && self.output.is_empty() {
            let held = std::mem::take(&mut self.input);
            self.refuse(&RequestError::new(503, "memory"), &held, context);
            let action = self.write(context.now);
            if self.output.is_empty() {
                return action;
            }
        }
        self.transport.reset_on_close();
        Action::Close(&counters::CLOSED_MEMORY)
    }

    /// Has the kernel forget what the peer has not taken, because its slot is taken from
    /// it. After the time that the kernel itself waits for a peer there is nothing, and
    /// an end is kinder than a reset to who waits with an idle connection.
    pub(crate) fn forget_unread(&self, context: &SessionContext<'_>) {
        let patience = patience(context.limits, context.relay);
        let unused = context.now.saturating_duration_since(self.since) >= patience;
        if self.standing() != Standing::Idle || !unused {
            self.transport.reset_on_close();
        }
    }
}
