//! The real servers under Chancery's tests and demo: a Kubernetes control plane, OpenBao, a Git server, built or
//! installed once into a cache outside the checkout, started on loopback, gone without a trace afterwards.
//!
//! `cargo bed help` lists the verbs. As a library it gives a test everything it needs: `Bed::attach` finds the servers
//! that `cargo bed test` started, `Bed::tenant` gives a namespace and an operator of one's own.

/// Calls to the API server, counted from its audit log.
pub mod audit;
/// Tools, built or installed once.
pub mod cache;
/// Values that must never be seen.
pub mod canary;
/// Talking to the API server the way kubectl does.
pub mod cluster;
/// Stand-ins for services that cannot run here.
pub mod fake;
/// A proxy that spoils answers.
pub mod faults;
/// A Git server with smart HTTP over TLS.
pub mod git;
/// The stand-in kubelet.
pub mod kubelet;
/// moto, which plays AWS.
pub mod moto;
/// Linux namespaces in which nothing outlives the bed.
pub mod namespaces;
/// The operator as a process.
pub mod operator;
/// The reference controllers beside us.
pub mod peer;
/// etcd, kube-apiserver, kube-controller-manager.
pub mod plane;
/// Child processes.
pub mod process;
/// OpenBao.
pub mod vault;

mod bed;

pub use bed::{Bed, Parts, Tenant};

/// Says something to the person who runs the bed.
#[expect(clippy::print_stderr, reason = "this is how the bed talks")]
pub fn say(words: impl std::fmt::Display) {
    eprintln!("{words}");
}
