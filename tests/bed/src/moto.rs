//! moto, which plays AWS: Secrets Manager, Parameter Store, STS.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cache::Cache;
use crate::process::{Process, free_port};

/// Python takes a while to read all of boto.
const START: Duration = Duration::from_secs(60);

/// A running moto server.
#[derive(Debug)]
pub struct Moto {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    _process: Process,
}

impl Moto {
    /// Starts it; [`ready`] waits until it answers.
    ///
    /// # Errors
    ///
    /// It cannot be installed or started.
    pub fn start(cache: &Cache, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?.to_string();
        let mut command = Process::command(cache.moto()?);
        command.args(["--host", "127.0.0.1", "--port", &port]).current_dir(folder);
        let process = Process::start("moto", command, &folder.join("moto.log"))?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _process: process })
    }
}

/// Waits until the moto at this address answers.
///
/// # Errors
///
/// It does not within a minute.
pub async fn ready(url: &str) -> Result<()> {
    let started = std::time::Instant::now();
    while reqwest::get(format!("{url}/moto-api/data.json")).await.is_err() {
        ensure!(started.elapsed() < START, "moto is not ready after {} s", START.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
