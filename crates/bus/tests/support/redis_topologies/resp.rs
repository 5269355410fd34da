//! The few words of RESP2 that it takes to steer a server, without a client library.
//!
//! Must never be used for anything but steering: one connection for each call.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long one answer may take. A frozen server does not hold a test for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Text(String),
    Number(i64),
    List(Vec<Self>),
    Nothing,
}

impl Reply {
    /// The text, or the number as text; empty for anything else.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::List(_) | Self::Nothing => String::new(),
        }
    }

    /// The elements; none where it is no list.
    pub(crate) fn list(&self) -> &[Self] {
        if let Self::List(list) = self { list } else { &[] }
    }

    /// What stands behind `name` in a flat list of names and values.
    pub(crate) fn field(&self, name: &str) -> String {
        let pairs = self.list().chunks_exact(2);
        pairs.filter(|pair| pair[0].text() == name).map(|pair| pair[1].text()).next().unwrap_or_default()
    }
}

/// Sends one command and reads its answer; an error of the server is an error here.
pub(super) fn call(port: u16, words: &[&str]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(command.as_bytes())?;
    read(&mut BufReader::new(stream))
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    let Some(rest) = line.get(1..) else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    match &line[..1] {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => Err(io::Error::other(rest.to_owned())),
        ":" => Ok(Reply::Number(number()?)),
        "$" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nothing) };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "*" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nothing) };
            (0..length).map(|_| read(stream)).collect::<io::Result<_>>().map(Reply::List)
        }
        other => Err(io::Error::other(format!("no RESP2: {other}"))),
    }
}
