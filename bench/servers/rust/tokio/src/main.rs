//! Echo on tokio's single-threaded runtime: one task and one read buffer per connection.

use std::env;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Options {
    host: String,
    port: u16,
    buffer: usize,
}

fn parse_options() -> Options {
    let mut options = Options {
        host: "127.0.0.1".into(),
        port: 0,
        buffer: 65536,
    };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().expect("every option takes a value");
        match name.as_str() {
            "--host" => options.host = value,
            "--port" => options.port = value.parse().expect("--port takes a number"),
            "--buffer" => options.buffer = value.parse().expect("--buffer takes a number"),
            _ => panic!("unknown option {name}"),
        }
    }
    options
}

async fn echo(mut stream: TcpStream, size: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; size];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn serve(options: Options) -> io::Result<()> {
    let listener = TcpListener::bind((options.host.as_str(), options.port)).await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, options.buffer));
    }
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(parse_options()))
}
