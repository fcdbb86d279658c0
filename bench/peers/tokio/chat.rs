//! Chat server on Tokio, after Tokio's own example: chat PORT

use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, Notify};

const LINE_MAX: usize = 1024;
const UNSENT_MAX: usize = 1024 * 1024;

/// What the others know of a member.
struct Member {
    lines: mpsc::UnboundedSender<Bytes>,
    unsent: Arc<AtomicUsize>,
    too_slow: Arc<Notify>,
}

type Room = Arc<Mutex<HashMap<usize, Member>>>;

fn broadcast(room: &Room, line: Bytes) {
    room.lock().unwrap().retain(|_, member| {
        let unsent = member.unsent.fetch_add(line.len(), Relaxed) + line.len();
        if unsent > UNSENT_MAX {
            member.too_slow.notify_one();
            return false;
        }
        member.lines.send(line.clone()).is_ok() // it fails when the member's writer has ended
    });
}

async fn read_lines(mut peer: OwnedReadHalf, room: &Room) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    while peer.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = memchr::memchr(b'\n', &buffer) {
            if end > LINE_MAX {
                return Ok(());
            }
            broadcast(room, buffer.split_to(end + 1).freeze());
        }
        if buffer.len() > LINE_MAX {
            return Ok(());
        }
        if buffer.capacity() < 2 * LINE_MAX {
            buffer.reserve(16 * 1024);
        }
    }
    Ok(())
}

/// Sends all that is queued at once, by way of the buffer.
async fn write_lines(
    peer: OwnedWriteHalf,
    mut lines: mpsc::UnboundedReceiver<Bytes>,
    unsent: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut peer = BufWriter::with_capacity(16 * 1024, peer);
    while let Some(line) = lines.recv().await {
        let mut next = Some(line);
        while let Some(line) = next {
            peer.write_all(&line).await?;
            unsent.fetch_sub(line.len(), Relaxed);
            next = lines.try_recv().ok();
        }
        peer.flush().await?;
    }
    Ok(())
}

async fn chat(peer: TcpStream, id: usize, room: Room) -> io::Result<()> {
    peer.set_nodelay(true)?;
    let (reader, writer) = peer.into_split();
    let (sender, lines) = mpsc::unbounded_channel();
    let unsent = Arc::new(AtomicUsize::new(0));
    let too_slow = Arc::new(Notify::new());
    let writing = tokio::spawn(write_lines(writer, lines, unsent.clone()));
    room.lock().unwrap().insert(
        id,
        Member {
            lines: sender,
            unsent,
            too_slow: too_slow.clone(),
        },
    );
    tokio::select! {
        _ = read_lines(reader, &room) => {}
        _ = too_slow.notified() => {}
    }
    room.lock().unwrap().remove(&id);
    writing.abort();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let port: u16 = std::env::args()
        .last()
        .and_then(|port| port.parse().ok())
        .expect("usage: chat PORT");
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(4096)?;
    let room = Room::default();
    for id in 0.. {
        if let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(chat(peer, id, room.clone()));
        }
    }
    Ok(())
}
