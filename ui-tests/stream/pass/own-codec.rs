//! A codec that needs no serde, on a topic and as the default of a type.
use goka::{BoxError, Codec, codec::ByType};

struct Protobuf;

struct Login {
    at: u8,
}
impl Codec<Login> for Protobuf {
    fn encode(value: &Login, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.push(value.at);
        Ok(())
    }
    fn decode(bytes: &[u8]) -> Result<Login, BoxError> {
        Ok(Login { at: bytes[0] })
    }
}

#[goka::stream("user-logins", value = Login, codec = Protobuf)]
struct Logins;

#[goka::stream("user-logouts", codec = Protobuf)]
struct Logout {
    at: u8,
}
impl Codec<Logout> for Protobuf {
    fn encode(value: &Logout, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.push(value.at);
        Ok(())
    }
    fn decode(bytes: &[u8]) -> Result<Logout, BoxError> {
        Ok(Logout { at: bytes[0] })
    }
}

impl Codec<Login> for ByType {
    fn encode(value: &Login, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Protobuf::encode(value, out)
    }
    fn decode(bytes: &[u8]) -> Result<Login, BoxError> {
        Protobuf::decode(bytes)
    }
}

#[goka::processor(group = "logins", input = "raw-logins")]
fn login(_ctx: &mut login::Context, _login: Login) {}
fn main() {}
