//! The translator: keeps the translations of words.

use crate::topics::{TranslateWord, Translation};

#[goka::processor(group = "translator", input = TranslateWord, table = Translation)]
pub(crate) fn learn(ctx: &mut learn::Context, translation: Option<String>) -> goka::Result {
    match translation {
        Some(translation) => ctx.set_value(&translation),
        None => ctx.delete(),
    }
}
