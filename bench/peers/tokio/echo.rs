//! Echo server on Tokio: echo PORT

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn echo(mut peer: TcpStream) -> io::Result<()> {
    peer.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let size = peer.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        peer.write_all(&buffer[..size]).await?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let port: u16 = std::env::args()
        .last()
        .and_then(|port| port.parse().ok())
        .expect("usage: echo PORT");
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(4096)?;
    loop {
        if let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(echo(peer)); // its error, a reset, ends it alone
        }
    }
}
