//! The least that a server can do: accept, read a request, answer, read a frame, answer.
//!
//! Must never understand what it reads. Ends when its input is closed, so that it never outlives the bench.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

/// As long as what a node answers: an upgrade with a sub-protocol, then `session.ready`, then the subscription.
const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: hubbub.v1.json\r\n\r\n";
const READY_BYTES: u16 = 560;
const ANSWER_BYTES: u16 = 150;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the certificate goes.
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    tls: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let tls = options.tls.then(|| certificate(&options.folder)).transpose()?;
    print!("{:<5}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        // Nothing is ever written to it, so this returns when the bench has gone.
        std::io::stdin().read_exact(&mut [0]).ok();
        std::process::exit(0);
    });
    let mut open: Vec<Box<dyn Send>> = Vec::new();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        match &tls {
            None => open.push(Box::new(talk(stream)?)),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config))?;
                open.push(Box::new(talk(StreamOwned::new(connection, stream))?));
            }
        }
    }
}

fn certificate(folder: &std::path::Path) -> Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(folder.join("cert.pem"), made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(Arc::new(config))
}

fn talk<S: Read + Write>(mut stream: S) -> Result<S> {
    let mut chunk = [0; 4096];
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Ok(stream),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    stream.write_all(&[UPGRADE, &text(READY_BYTES)].concat())?;
    stream.flush()?;
    if stream.read(&mut chunk)? > 0 {
        stream.write_all(&text(ANSWER_BYTES))?;
        stream.flush()?;
    }
    Ok(stream)
}

/// A text frame of a server.
fn text(length: u16) -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.resize(4 + usize::from(length), b'x');
    frame
}
