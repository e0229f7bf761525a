//! The least that a server of durable writes can do, for tests/bench/run: it reads a request,
//! appends its body to a file, syncs the file, and answers.
//!
//! No server that keeps its word answers one connection sooner on the same disk and the same
//! loopback. Each connection has a thread that blocks, there is one buffer, and nothing is parsed
//! but the length of the body. The answer has the fields for which the load looks.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use clap::Parser;

type Failure = Box<dyn Error + Send + Sync>;

const ANSWER: &str = r#"{"experiment_id":"0","run":{"info":{"run_id":"0"}}}"#;
/// The file is long enough before the first request, as an edit log is.
const FILE_BYTES: u64 = 64 << 20;
/// More than any request of the load has.
const REQUEST_BYTES: usize = 1 << 20;

/// Makes the body of every request durable and answers it.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    http: String,
    /// The file to append to.
    #[arg(long)]
    file: PathBuf,
}

/// Where the head of a request ends and how long its body is, once the head is there.
fn head(request: &[u8]) -> Option<(usize, usize)> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&request[..end]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some((end, length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)))
}

fn serve(mut stream: TcpStream, mut file: File) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let mut buffer = vec![0; REQUEST_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let Some((start, length)) = head(&buffer[..filled]) else { continue };
        if filled < start + length {
            continue;
        }
        if length > 0 {
            file.write_all(&buffer[start..start + length])?;
            file.sync_data()?;
        }
        stream.write_all(answer.as_bytes())?;
        filled = 0;
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&arguments.file)?;
    file.set_len(FILE_BYTES)?;
    file.sync_all()?;
    let listener = TcpListener::bind(&arguments.http)?;
    for stream in listener.incoming() {
        let (stream, file) = (stream?, file.try_clone()?);
        // A client that goes away ends its thread and nothing else.
        std::thread::spawn(move || serve(stream, file));
    }
    Ok(())
}
