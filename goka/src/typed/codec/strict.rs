//! A serializer that wraps another serializer, and refuses values that the format cannot give back. So everything that
//! is written can be read again. Must not know the format's bytes.
//!
//! serde's formats write some values like other values: they write `Some(None)` like `None`, and JSON writes NaN and
//! infinities like `null`. A reader of such bytes gets another value, or no value. Type parameters decide what the
//! wrapper checks, so it costs nothing at run time.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

const NESTED: &str = "`Some` of an empty value would decode as `None`: use your own enum instead of an `Option` in an \
                      `Option`";

const NOT_FINITE: &str = "JSON has no NaN and no infinity: write `None` of an `Option` for a missing number, or use \
                          `codec = MsgPack`, which has these values";

/// Serializes `value` with `serializer`, or fails if the value could not be read again. `JSON` says whether the format
/// is JSON.
pub(super) fn serialize<S: Serializer, const JSON: bool>(
    value: &(impl Serialize + ?Sized),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.serialize(Strict::<S, JSON, false>(serializer))
}

/// The serializer around the serializer `S`. `IN_SOME` says whether the value is directly in a `Some`, where an empty
/// value would be read as `None`.
struct Strict<S, const JSON: bool, const IN_SOME: bool>(S);

/// A value inside another value, which is serialized with the same checks as the outer value.
struct Inner<'a, T: ?Sized, const JSON: bool, const IN_SOME: bool>(&'a T);

/// The wrapper around `C`, which serializes the values of a list, a map or a struct.
struct Values<C, const JSON: bool>(C);

impl<T: Serialize + ?Sized, const JSON: bool, const IN_SOME: bool> Serialize
    for Inner<'_, T, JSON, IN_SOME>
{
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Strict::<S, JSON, IN_SOME>(serializer))
    }
}

/// Implements methods that pass their value to the wrapped serializer unchanged.
macro_rules! pass {
    ($($method:ident: $type:ty),*) => { $(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        }
    )* };
}

impl<S: Serializer, const JSON: bool, const IN_SOME: bool> Serializer for Strict<S, JSON, IN_SOME> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Values<S::SerializeSeq, JSON>;
    type SerializeTuple = Values<S::SerializeTuple, JSON>;
    type SerializeTupleStruct = Values<S::SerializeTupleStruct, JSON>;
    type SerializeTupleVariant = Values<S::SerializeTupleVariant, JSON>;
    type SerializeMap = Values<S::SerializeMap, JSON>;
    type SerializeStruct = Values<S::SerializeStruct, JSON>;
    type SerializeStructVariant = Values<S::SerializeStructVariant, JSON>;

    pass! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        match JSON && !value.is_finite() {
            true => Err(S::Error::custom(NOT_FINITE)),
            false => self.0.serialize_f32(value),
        }
    }
    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        match JSON && !value.is_finite() {
            true => Err(S::Error::custom(NOT_FINITE)),
            false => self.0.serialize_f64(value),
        }
    }
    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        match IN_SOME {
            true => Err(S::Error::custom(NESTED)),
            false => self.0.serialize_none(),
        }
    }
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Inner::<T, JSON, true>(value))
    }
    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        match IN_SOME {
            true => Err(S::Error::custom(NESTED)),
            false => self.0.serialize_unit(),
        }
    }
    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        // MessagePack writes a unit struct as an empty list, which is not read as `None`.
        match IN_SOME && JSON {
            true => Err(S::Error::custom(NESTED)),
            false => self.0.serialize_unit_struct(name),
        }
    }
    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Inner::<T, JSON, IN_SOME>(value);
        self.0.serialize_newtype_struct(name, &value)
    }
    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Inner::<T, JSON, false>(value);
        self.0
            .serialize_newtype_variant(name, index, variant, &value)
    }
    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Values)
    }
    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Values)
    }
    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Values)
    }
    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let values = self.0.serialize_tuple_variant(name, index, variant, len);
        values.map(Values)
    }
    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Values)
    }
    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Values)
    }
    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let values = self.0.serialize_struct_variant(name, index, variant, len);
        values.map(Values)
    }
    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }
    #[inline]
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Implements each `Trait` that takes only values, by its `method`.
macro_rules! values {
    ($($trait:ident, $method:ident;)*) => { $(
        impl<C: $trait, const JSON: bool> $trait for Values<C, JSON> {
            type Ok = C::Ok;
            type Error = C::Error;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.0.$method(&Inner::<T, JSON, false>(value))
            }
            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        }
    )* };
}

values! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

/// Implements each `Trait` that takes values with the names of their fields.
macro_rules! fields {
    ($($trait:ident)*) => { $(
        impl<C: $trait, const JSON: bool> $trait for Values<C, JSON> {
            type Ok = C::Ok;
            type Error = C::Error;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.0.serialize_field(name, &Inner::<T, JSON, false>(value))
            }
            #[inline]
            fn skip_field(&mut self, name: &'static str) -> Result<(), C::Error> {
                self.0.skip_field(name)
            }
            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        }
    )* };
}

fields!(SerializeStruct SerializeStructVariant);

impl<C: SerializeMap, const JSON: bool> SerializeMap for Values<C, JSON> {
    type Ok = C::Ok;
    type Error = C::Error;
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.0.serialize_key(&Inner::<T, JSON, false>(key))
    }
    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.0.serialize_value(&Inner::<T, JSON, false>(value))
    }
    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let (key, value) = (Inner::<K, JSON, false>(key), Inner::<V, JSON, false>(value));
        self.0.serialize_entry(&key, &value)
    }
    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.0.end()
    }
}
