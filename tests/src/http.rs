//! A minimal HTTP client: one request per connection.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::DEADLINE;

/// The pause between two requests to a service that does not notify clients of changes.
const BETWEEN: Duration = Duration::from_millis(10);

/// The answer of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code, for example 200.
    pub status: u16,
    /// The value of the header `content-type`.
    pub content_type: String,
    /// The body as JSON. A body that is not JSON becomes a JSON string.
    pub body: Value,
}

/// Sends a GET request. `base` is `http://host:port`; `path` must be encoded already.
pub fn get(base: &str, path: &str) -> Answer {
    request("GET", base, path, None)
}

/// Sends a request like [`get`], but with any method, and with a JSON body if there is one.
pub fn request(method: &str, base: &str, path: &str, body: Option<&Value>) -> Answer {
    let answered = try_request(method, base, path, body);
    answered.unwrap_or_else(|error| panic!("{method} {base}{path}: {error}"))
}

fn try_request(
    method: &str,
    base: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let host = base
        .strip_prefix("http://")
        .ok_or("the address must begin with http://")?;
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer must have a head")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let content_type = headers.find(|(name, _)| *name == "content-type");
    Ok(Answer {
        status,
        content_type: content_type.map_or("", |(_, value)| value).to_owned(),
        body: serde_json::from_str(body).unwrap_or_else(|_| body.into()),
    })
}

/// Repeats a GET request until `wanted` accepts the answer, and returns that answer. This is for services that show
/// recent writes of other programs.
pub fn get_until(base: &str, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let started = Instant::now();
    loop {
        let answer = get(base, path);
        if wanted(&answer) {
            return answer;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "{base}{path} still answers {answer:?} after {DEADLINE:?}"
        );
        thread::park_timeout(BETWEEN);
    }
}
