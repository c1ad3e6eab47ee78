//! The operator as a process, run as a pod would be: with a service account's token and the rights from `deploy/`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::process::{Process, free_port};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Address of `/v1/cert.pem`.
    pub url: String,
    /// Address of `/readyz` and `/metrics`.
    pub metrics_url: String,
    /// The user that the API server sees.
    pub user: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// None: as a pod, with what stands in its environment.
    kubeconfig: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
    namespace: String,
    log: PathBuf,
}

/// A running operator.
#[derive(Debug)]
pub struct Running {
    process: Process,
    url: String,
    /// Where its probes and metrics are.
    pub metrics_url: String,
    answers: PathBuf,
}

impl Operator {
    /// An operator with its keys in `namespace`, as service account `chancery` there.
    ///
    /// # Errors
    ///
    /// No free port, or the kubeconfig cannot be written.
    pub fn new(
        program: &Path,
        folder: &Path,
        namespace: &str,
        (url, ca, token): (&str, &str, &str),
        arguments: &[&str],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let kubeconfig = folder.join("operator.kubeconfig");
        std::fs::write(&kubeconfig, crate::plane::kubeconfig(url, ca, &json!({ "token": token }))?)?;
        Ok(Self {
            url: format!("http://127.0.0.1:{}", free_port()?),
            metrics_url: format!("http://127.0.0.1:{}", free_port()?),
            user: format!("system:serviceaccount:{namespace}:chancery"),
            program: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            kubeconfig: Some(kubeconfig),
            environment: Vec::new(),
            namespace: namespace.to_owned(),
            log: folder.join("operator.log"),
        })
    }

    /// A second replica: other ports, another log, the same identity.
    ///
    /// # Errors
    ///
    /// No free port.
    pub fn replica(&self, name: &str) -> Result<Self> {
        Ok(Self {
            url: format!("http://127.0.0.1:{}", free_port()?),
            metrics_url: format!("http://127.0.0.1:{}", free_port()?),
            log: self.log.with_file_name(format!("{name}.log")),
            ..self.clone()
        })
    }

    /// The same without a kubeconfig: with the service account that a pod finds.
    #[must_use]
    pub fn in_pod(mut self, account: &crate::peer::PodAccount) -> Self {
        self.kubeconfig = None;
        self.environment.clone_from(&account.environment);
        self
    }

    /// The same at an address that is not loopback, which the API server's Service proxy reaches.
    ///
    /// # Errors
    ///
    /// No free port.
    pub fn reachable(mut self) -> Result<Self> {
        self.url = format!("http://{}:{}", crate::namespaces::OWN_ADDRESS, free_port()?);
        Ok(self)
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_environment(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// The same with one more argument.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The same with another value of a flag, given as its beginning and the whole.
    #[must_use]
    pub fn replacing(mut self, beginning: &str, argument: &str) -> Self {
        self.arguments.retain(|known| !known.starts_with(beginning));
        self.with(argument)
    }

    /// Starts it and waits until `/readyz` says that all watches are complete.
    ///
    /// # Errors
    ///
    /// It ends or does not become ready: with the last lines of its log.
    pub fn start(&self) -> Result<Running> {
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let mut command = Process::command(&self.program);
        command
            // As `deploy/` has it.
            .env("MALLOC_ARENA_MAX", "2")
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .envs(self.environment.iter().cloned())
            .args(self.kubeconfig.iter().flat_map(|file| ["--kubeconfig".into(), file.clone()]))
            .args(["--namespace", &self.namespace])
            .args(["--listen", &address(&self.url), "--listen-metrics", &address(&self.metrics_url)])
            .arg("--cache-dir")
            .arg(self.log.with_extension("cache"))
            .args(["--identity", &self.log.file_stem().unwrap_or_default().to_string_lossy()])
            .args(&self.arguments);
        if !self.arguments.iter().any(|argument| argument.starts_with("--log=")) {
            command.args(["--log", "info,chancery=trace"]);
        }
        let mut process = Process::start("chancery", command, &self.log)?;
        let probe = address(&self.metrics_url);
        process.wait_until(START, || ready(&probe))?;
        Ok(Running { process, url: self.url.clone(), metrics_url: self.metrics_url.clone(), answers: self.log.clone() })
    }

    /// What is run, as one would type it.
    pub fn command_line(&self) -> String {
        format!("chancery --namespace={} {}", self.namespace, self.arguments.join(" "))
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.keep_answers();
    }
}

impl Running {
    /// Writes down what it answers over HTTP, for the search after all tests.
    fn keep_answers(&mut self) {
        let mut answers = String::new();
        for (url, path) in
            [(&self.metrics_url, "/metrics"), (&self.metrics_url, "/readyz"), (&self.url, "/v1/cert.pem")]
        {
            answers += &get(url.trim_start_matches("http://"), path).unwrap_or_default();
        }
        if !answers.is_empty() {
            let _ = std::fs::write(self.answers.with_extension("answers"), answers);
        }
    }

    /// SIGTERM; true when it ended by itself with success.
    pub fn stop(mut self) -> bool {
        self.keep_answers();
        self.process.stop(Duration::from_secs(20))
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.keep_answers();
        self.process.kill();
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines that it logged.
    pub fn tail(&self, lines: usize) -> String {
        self.process.tail(lines)
    }

    /// Its resident memory in KiB.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn memory(&self) -> Result<u64> {
        self.kibibytes("VmRSS:")
    }

    /// The part of it that is not pages of the program's file, in KiB.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn anonymous_memory(&self) -> Result<u64> {
        self.kibibytes("RssAnon:")
    }

    fn kibibytes(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    }

    /// One of its metrics, summed over labels; 0 when it was never counted.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = reqwest::get(format!("{}/metrics", self.metrics_url)).await?.text().await?;
        Ok(text
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Whether `/readyz` answers 200.
fn ready(address: &str) -> bool {
    get(address, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// One request by hand, because this runs inside and outside of runtimes.
fn get(address: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bed\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
