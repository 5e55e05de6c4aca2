//! The type of a topic as functions, for the tester: the graph holds only data. Must not know the tester.

use std::any::{Any, TypeId, type_name};

use crate::{
    base::error::{BoxError, Error, Result},
    typed::{codec::Codec, topic::Topic},
};

/// Encodes a value; `None` if the value is of another type.
type Encode = fn(&dyn Any, &mut Vec<u8>) -> Option<Result<(), BoxError>>;

/// The type of a topic, as functions.
#[derive(Clone, Copy)]
pub(crate) struct Typing {
    /// The type that declares the topic.
    pub(crate) topic: fn() -> TypeId,
    value: fn() -> &'static str,
    encode: Encode,
}

impl Typing {
    pub(crate) const fn of<T: Topic>() -> Self {
        Typing {
            topic: TypeId::of::<T>,
            value: type_name::<T::Value>,
            encode: encode::<T>,
        }
    }

    /// The bytes of a value, by the codec of the topic.
    pub(crate) fn encode<V: 'static>(self, topic: &str, value: &V) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoded = (self.encode)(value, &mut bytes).ok_or_else(|| {
            let (carries, given) = ((self.value)(), type_name::<V>());
            Error::Topic(format!(
                "`{topic}` carries `{carries}`, and this value is a `{given}`: give it a `{carries}`"
            ))
        })?;
        encoded.map_err(Error::encode(topic))?;
        Ok(bytes)
    }
}

fn encode<T: Topic>(value: &dyn Any, out: &mut Vec<u8>) -> Option<Result<(), BoxError>> {
    Some(T::Codec::encode(value.downcast_ref::<T::Value>()?, out))
}
