//! Rebuilds a local copy that is not trusted. The new copy is written to a directory beside the old copy,
//! `<partition>.new`, and then takes the place of the old copy.
//!
//! A rebuild starts with an empty file, and readers of the old copy are not disturbed before the new copy is complete.
//! An interrupted rebuild continues: the next open puts the new copy in place, and recovery continues at the position
//! of the new copy. If readers already use the new copy and it must be rebuilt again, the next copy is written to the
//! original place. Must not know rows.

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
    /// Creates an empty copy beside this copy; [`swap_in`](Store::swap_in) later puts the new copy in the place of this
    /// one. `None` means that this copy is itself such a new copy, and was emptied instead.
    ///
    /// # Errors
    /// If there is no space for the new copy.
    pub(crate) fn rebuild(
        &mut self,
        identity: &Identity,
        options: &Options,
    ) -> Result<Option<Store>, Error> {
        let here = self.open.path.clone();
        let there = match &self.replaces {
            // This case includes a copy that is shown to readers, but whose place still has a reader.
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

    /// Whether this copy replaces another copy and has not taken its place yet.
    pub(crate) fn is_rebuilt(&self) -> bool {
        self.replaces.is_some()
    }

    /// Whether this copy is in the original place already, and the copy that it replaces is in the directory beside it.
    fn is_in_place(&self) -> bool {
        self.replaces.as_deref() == Some(&*beside(&self.open.path))
    }

    /// Makes readers use this copy instead of the copy that it replaces. The replaced copy is deleted, unless it has a
    /// reader. This copy moves to the place of the replaced copy when it is opened next.
    pub(crate) fn show(&mut self) {
        let Some(place) = &self.replaces else { return };
        let deleted = if self.is_in_place() {
            // A directory that has a reader stays, but its data file is deleted, so that the directory is not taken for
            // a copy.
            remove(place).or_else(|_| environment::delete(place))
        } else if let Ok(_claim) = Claim::take(place, Duration::ZERO) {
            environment::delete(place)
        } else {
            Ok(())
        };
        if let Err(error) = deleted {
            tracing::warn!(%error, "cannot delete a local copy that was replaced; the replaced copy takes disk space until a restart");
        }
        self.is_shown = true;
        if self.is_in_place() {
            (self.replaces, self.is_shown) = (None, false);
        }
    }

    /// Puts a rebuilt copy in the place of the old copy. While a reader uses either copy, the rebuilt copy stays where
    /// it is, and the next open moves it.
    ///
    /// # Errors
    /// If the copy cannot be opened in its new place.
    pub(crate) fn swap_in(
        mut self,
        identity: &Identity,
        options: &Options,
    ) -> Result<Store, Error> {
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
