//! A proxy that spoils what a server answers: late, cut off, or with another status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It comes after this time.
    Delay(Duration),
    /// The connection is reset after so many bytes of it.
    ResetAfter(usize),
    /// The connection is closed after so many bytes of it.
    CloseAfter(usize),
    /// Its status line is another one, and its body empty.
    Status(u16),
    /// Its body is so many bytes of rubbish.
    Oversized(usize),
}

/// A running proxy; it ends with the runtime of its test.
pub struct FaultProxy {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    fault: Arc<Mutex<Fault>>,
}

impl FaultProxy {
    /// Starts it before a server that speaks HTTP/1.1 without TLS.
    ///
    /// # Errors
    ///
    /// No free port.
    pub async fn start(server: &str) -> Result<Self> {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let fault = Arc::new(Mutex::new(Fault::None));
        let current = Arc::clone(&fault);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, current) = (server.clone(), Arc::clone(&current));
                tokio::spawn(async move { pass(stream, &server, &current).await });
            }
        });
        Ok(Self { url, fault })
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// One connection: requests go through as they are, the first answer of each read is spoilt.
async fn pass(mut client: TcpStream, server: &str, fault: &Mutex<Fault>) {
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    let (mut request, mut answer) = ([0; 16 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(length) if length > 0 => if upstream.write_all(&request[..length]).await.is_err() { return },
                _ => return,
            },
            read = upstream.read(&mut answer) => match read {
                Ok(length) if length > 0 => {
                    let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if !spoil(&mut client, &answer[..length], fault).await { return }
                }
                _ => return,
            },
        }
    }
}

/// Hands an answer on; false when the connection ends with it.
async fn spoil(client: &mut TcpStream, answer: &[u8], fault: Fault) -> bool {
    match fault {
        Fault::None => client.write_all(answer).await.is_ok(),
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            client.write_all(answer).await.is_ok()
        }
        Fault::ResetAfter(bytes) => {
            let _ = client.write_all(&answer[..bytes.min(answer.len())]).await;
            let _ = client.set_zero_linger();
            false
        }
        Fault::CloseAfter(bytes) => {
            let _ = client.write_all(&answer[..bytes.min(answer.len())]).await;
            let _ = client.shutdown().await;
            false
        }
        Fault::Status(code) => {
            let text = format!("HTTP/1.1 {code} Spoilt\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = client.write_all(text.as_bytes()).await;
            false
        }
        Fault::Oversized(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n");
            let _ = client.write_all(head.as_bytes()).await;
            let _ = client.write_all(&vec![b' '; bytes]).await;
            false
        }
    }
}
