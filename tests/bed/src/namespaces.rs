//! Linux namespaces of our own (user, network, mount, pid): every port is free, loopback is private, and nothing
//! outlives the bed, however it ends.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::run;

/// Set inside.
const INSIDE: &str = "CHANCERY_BED_INSIDE";
/// An address that is not loopback: the API server's Service proxy refuses loopback.
pub const OWN_ADDRESS: &str = "10.99.0.1";
/// Where clouds have their metadata services, and EKS its Pod Identity: nobody is there unless a test is.
pub const METADATA: [&str; 2] = ["169.254.169.254", "169.254.170.23"];

/// Whether we are inside already.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Set to anything: plain loopback, although the kernel would let us.
const PLAIN: &str = "CHANCERY_BED_PLAIN";

/// Whether the kernel lets us make them.
pub fn possible() -> bool {
    std::env::var_os(PLAIN).is_none()
        && run(Command::new("unshare").args(["-Urnmpf", "--kill-child", "--mount-proc", "true"])).is_ok()
        && run(Command::new("setpriv").args(["--pdeathsig", "KILL", "true"])).is_ok()
        && run(Command::new("ip").arg("-V")).is_ok()
}

/// Runs this same program again, inside, and takes its place. Returns only when that fails.
///
/// # Errors
///
/// `setpriv` cannot be started.
pub fn enter() -> Result<()> {
    // Not `current_exe`: a build in between may have put another file under this program's name.
    let own = std::env::args_os().next().context("cannot find this program")?;
    let error = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "-Urnmpf", "--kill-child", "--mount-proc"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("cannot enter namespaces")
}

/// Brings loopback up, adds our own addresses, and mounts a folder that is gone with us.
///
/// # Errors
///
/// `ip` or `mount` fail.
pub fn furnish() -> Result<()> {
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    for address in [OWN_ADDRESS].into_iter().chain(METADATA) {
        run(Command::new("ip").args(["addr", "add", &format!("{address}/32"), "dev", "lo"]))?;
    }
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]))?;
    Ok(())
}
