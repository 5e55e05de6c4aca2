//! Represents the type of a topic by functions, for the tester, because the graph holds only data and no types. Must
//! not know the tester.

use std::any::{Any, TypeId, type_name};

use crate::{
    base::error::{BoxError, Error, Result},
    typed::{codec::Codec, topic::Topic},
};

/// A function that encodes a value, and returns `None` if the value is not of the topic's value type.
type Encode = fn(&dyn Any, &mut Vec<u8>) -> Option<Result<(), BoxError>>;

/// The type of a topic, represented by functions.
#[derive(Clone, Copy)]
pub(crate) struct Typing {
    /// Returns the ID of the type that declares the topic.
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

    /// Encodes a value with the codec of the topic, and returns its bytes.
    pub(crate) fn encode<V: 'static>(self, topic: &str, value: &V) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoded = (self.encode)(value, &mut bytes).ok_or_else(|| {
            let (carries, given) = ((self.value)(), type_name::<V>());
            Error::Topic(format!(
                "`{topic}` has values of type `{carries}`, but this value has type `{given}`: pass a value of type `{carries}`"
            ))
        })?;
        encoded.map_err(Error::encode(topic))?;
        Ok(bytes)
    }
}

fn encode<T: Topic>(value: &dyn Any, out: &mut Vec<u8>) -> Option<Result<(), BoxError>> {
    Some(T::Codec::encode(value.downcast_ref::<T::Value>()?, out))
}
