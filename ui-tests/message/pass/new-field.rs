//! What was written before a field was added is read after it, and the other way round.
use goka::{Codec, codec::MsgPack};

mod before {
    #[goka::message]
    pub struct Login {
        pub id: u64,
        pub host: String,
    }
}
mod after {
    #[goka::message]
    pub struct Login {
        /// `host` is gone, and what the records say of it is passed over.
        pub id: u64,
        pub from: Option<String>,
        #[serde(default)]
        pub attempts: u32,
        #[serde(default = "one")]
        pub version: u8,
    }
    fn one() -> u8 {
        1
    }
}
mod without_default {
    #[derive(Debug)]
    #[goka::message]
    pub struct Login {
        pub id: u64,
        pub attempts: u32,
    }
}

fn main() -> Result<(), goka::BoxError> {
    let mut bytes = Vec::new();
    MsgPack::encode(&before::Login { id: 7, host: "a".into() }, &mut bytes)?;
    let after: after::Login = MsgPack::decode(&bytes)?;
    assert_eq!((after.id, after.from, after.attempts, after.version), (7, None, 0, 1));

    // A field that is needed names the cure when it is missing.
    let missing: Result<without_default::Login, _> = MsgPack::decode(&bytes);
    let error = missing.map(|login| (login.id, login.attempts)).expect_err("no `attempts`");
    assert!(error.to_string().contains("#[serde(default)]"), "{error}");

    let new = after::Login { id: 7, from: Some("b".into()), attempts: 2, version: 2 };
    let mut bytes = Vec::new();
    MsgPack::encode(&new, &mut bytes)?;
    let missing: Result<before::Login, _> = MsgPack::decode(&bytes);
    assert!(missing.is_err(), "`host` was needed");
    let older: without_default::Login = MsgPack::decode(&bytes)?;
    assert_eq!((older.id, older.attempts), (7, 2));
    Ok(())
}
