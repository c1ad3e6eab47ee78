//! Calls to the API server, counted from its audit log: by what was asked, not by what we believe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

/// A place in the audit log from which calls are counted.
#[derive(Clone, Debug)]
pub struct Mark {
    log: PathBuf,
    offset: u64,
}

impl Mark {
    /// From now on.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn now(log: &Path) -> Result<Self> {
        Ok(Self { log: log.to_owned(), offset: std::fs::metadata(log)?.len() })
    }

    /// Calls by one user since the mark, counted as `VERB RESOURCE`, dry runs as `try to VERB RESOURCE`.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn calls(&self, user: &str) -> Result<BTreeMap<String, usize>> {
        let mut file = std::fs::File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut counted = BTreeMap::new();
        for line in BufReader::new(file).lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
            if event["user"]["username"] != user {
                continue;
            }
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let subresource = Some(text("/objectRef/subresource")).filter(|name| !name.is_empty());
            let resource =
                text("/objectRef/resource") + &subresource.map(|name| format!("/{name}")).unwrap_or_default();
            let tried = if text("/requestURI").contains("dryRun=All") { "try to " } else { "" };
            *counted.entry(format!("{tried}{} {resource}", text("/verb"))).or_insert(0) += 1;
        }
        Ok(counted)
    }

    /// Writes by one user since the mark, the Lease apart.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn writes(&self, user: &str) -> Result<BTreeMap<String, usize>> {
        let mut calls = self.calls(user)?;
        calls.retain(|call, _| {
            let (verb, resource) = call.split_once(' ').unwrap_or((call, ""));
            matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection")
                && resource != "leases"
                && resource != "serviceaccounts/token"
        });
        Ok(calls)
    }
}
