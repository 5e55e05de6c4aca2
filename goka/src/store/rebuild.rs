//! A copy that is not trusted is rebuilt beside itself, in `<partition>.new`, which then takes its place.
//!
//! So a rebuild begins with an empty file, and readers of the old copy are not disturbed before the new one
//! is whole. A rebuild that was cut off goes on: whatever opens the copy next finds it, puts it in its place,
//! and tops it up from where it stands. One that is read already, and is to be rebuilt in its turn, has the place
//! itself beside it. Must not know rows.

use std::{sync::Arc, time::Duration};

use super::{
    beside::{beside, remove},
    environment,
    identity::Identity,
    local_copy::Store,
    open::Options,
    position::Position,
    private, problem,
    registry::Claim,
};
use crate::base::error::Error;

impl Store {
    /// An empty copy beside this one, to be filled anew; [`settle`](Store::settle) puts it in its place. `None`: this
    /// is such a copy already, and was emptied.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn rebuild(
        &mut self,
        identity: &Identity,
        options: &Options,
    ) -> Result<Option<Store>, Error> {
        let here = self.open.path.clone();
        let there = match &self.replaces {
            // Also where somebody still reads what it has replaced.
            Some(place) if !self.is_shown || remove(place).is_err() => {
                let mut batch = self.batch()?;
                batch.clear()?;
                batch.commit(Position::default())?;
                return Ok(None);
            }
            Some(place) => place.clone(),
            None => beside(&here),
        };
        remove(&there)?;
        private::create_dir_all(&there)
            .map_err(|error| problem::state(&there, "rebuild a local copy", error))?;
        let claim = Claim::take(&there, options.wait)?;
        let mut store = Store::open_claimed(there, claim, identity, options)?.0;
        store.replaces = Some(here);
        Ok(Some(store))
    }

    /// Whether it is beside the copy that it is to replace.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.replaces.is_some()
    }

    /// Whether it is where it belongs, and what it replaces is beside it.
    fn is_in_place(&self) -> bool {
        self.replaces.as_deref() == Some(&*beside(&self.open.path))
    }

    /// It is read instead of the copy that it is to replace, which is deleted, if nobody reads it. It takes its place
    /// when it is opened next.
    pub(crate) fn show(&mut self) {
        let Some(place) = &self.replaces else { return };
        let deleted = if self.is_in_place() {
            // One that is read stays where it is, without its data: nobody takes it for a copy.
            remove(place).or_else(|_| environment::delete(place))
        } else if let Ok(_claim) = Claim::take(place, Duration::ZERO) {
            environment::delete(place)
        } else {
            Ok(())
        };
        if let Err(error) = deleted {
            tracing::warn!(%error, "the copy that was replaced is still there");
        }
        self.is_shown = true;
        if self.is_in_place() {
            (self.replaces, self.is_shown) = (None, false);
        }
    }

    /// Puts a copy that was rebuilt in the place of the old one. While somebody still reads either, it stays
    /// where it is, and whoever opens it next does that.
    ///
    /// # Errors
    /// If it cannot be opened there.
    pub(crate) fn settle(mut self, identity: &Identity, options: &Options) -> Result<Store, Error> {
        if self.is_in_place() {
            self.show();
            return Ok(self);
        }
        let Some(place) = self.replaces.clone() else {
            return Ok(self);
        };
        let is_read = Arc::strong_count(&self.open) > 1;
        if is_read || Claim::take(&place, Duration::ZERO).is_err() {
            return Ok(self);
        }
        drop(self);
        Store::open(&place, identity, options).map(|(store, _)| store)
    }
}
