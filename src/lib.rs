//! The Chancery operator. One line a room; `ARCHITECTURE.md` says what may enter each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Addresses of Git repositories.
pub mod address;
/// What users write.
pub mod api;
/// Flags and environment.
pub mod args;
/// The only room that speaks to Kubernetes.
pub mod cluster;
/// Verbs for people.
pub mod command;
/// Thin glue: observe, decide, act.
pub mod controllers;
/// What should happen: pure rules.
pub mod decide;
/// How failures are classified.
pub mod error;
/// From a commit to objects.
pub mod git;
/// Globs as Argo CD reads them.
pub mod glob;
/// The words that rules and hands share.
pub mod plan;
/// Where values come from.
pub mod providers;
/// The queue under every controller.
pub mod scheduler;
/// HTTP: probes, metrics, the kubeseal endpoints.
pub mod serve;
/// Logs and metrics.
pub mod telemetry;
/// Go's text/template and its functions.
pub mod template;
/// Values as text.
pub mod values;

/// After SIGTERM: what runs may end, the Lease is given back; longer than that and a watcher of the pod kills us anyway.
const GRACEFUL_STOP: Duration = Duration::from_secs(10);

/// Runs the operator until a signal, or until the Lease is lost.
///
/// # Errors
///
/// A configuration that cannot work, an address that cannot be bound, or a lost Lease: the process ends and is started
/// again by whoever runs it.
pub async fn run(settings: args::Settings) -> anyhow::Result<()> {
    let metrics = Arc::new(telemetry::Metrics::default());
    let named = Some(settings.namespaces.clone()).filter(|names| !names.is_empty());
    let scope = match named.unwrap_or_else(|| settings.sealed.namespaces(&settings.namespace)) {
        names if names.is_empty() => cluster::Scope::All,
        names => cluster::Scope::Namespaces(names),
    };
    for words in settings.sealed.elsewhere.without_effect() {
        tracing::warn!("a flag of Sealed Secrets has no effect here: {words}");
    }
    let cluster = cluster::Cluster::connect(
        settings.kubeconfig.as_deref(),
        &settings.namespace,
        scope,
        &settings.identity,
        Arc::clone(&metrics),
    )
    .await?;
    let stop = CancellationToken::new();
    let context = controllers::Context::new(cluster, Arc::new(settings), metrics, stop.clone());
    let stores = controllers::Stores::new(&context);
    let armed = controllers::arm(&context, &stores);

    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(serve::probes(context.settings.listen_metrics, context.clone()));
    if context.settings.runs(args::Controller::SealedSecrets) {
        serving.spawn(serve::sealing(context.clone(), stores.keys.clone()));
        if let Some(address) = context.settings.sealed.listen_tls {
            serving.spawn(serve::sealing_with_tls(address, context.clone(), stores.keys.clone()));
        }
        tokio::spawn(hear_orders(context.clone(), stores.keys.clone()));
    }
    let watches = tokio::spawn({
        let context = context.clone();
        async move { context.watch().await }
    });
    let mut leading = std::pin::pin!(lead(&context, armed));
    let ended = tokio::select! {
        () = terminated() => {
            stop.cancel();
            tokio::time::timeout(GRACEFUL_STOP, &mut leading).await.unwrap_or(Ok(()))
        }
        ended = &mut leading => ended,
        Some(served) = serving.join_next() => served.context("a server ended")?.context("cannot serve HTTP"),
    };
    stop.cancel();
    let _ = tokio::time::timeout(GRACEFUL_STOP, watches).await;
    ended
}

/// Waits for the Lease and complete watches, then lets the controllers loose until the end or the loss of the Lease.
async fn lead(context: &controllers::Context, armed: Vec<controllers::Armed>) -> anyhow::Result<()> {
    let (settings, stop) = (&context.settings, &context.stop);
    match context.cluster.definitions_amiss().await {
        Ok(amiss) => amiss.iter().for_each(|what| tracing::warn!("{what}")),
        // With rights in some namespaces only we may not look.
        Err(error) => tracing::debug!(%error, "the installed CustomResourceDefinitions could not be looked at"),
    }
    if stop.run_until_cancelled(context.ready()).await.is_none() {
        return Ok(());
    }
    tracing::info!("all watches are complete");
    let (mut leadership, released) = context
        .cluster
        .campaign(&settings.lease_name, &settings.identity, settings.lease_duration, stop.clone())
        .await?;
    if stop.run_until_cancelled(leadership.wait_for(|leads| *leads)).await.is_none() {
        let _ = released.await;
        return Ok(());
    }
    tracing::info!(lease = settings.lease_name, "this replica leads");
    context.metrics.leader.set(1);
    if let Err(error) = context.cluster.make_doorbell().await {
        tracing::warn!(%error, "the doorbell could not be made; hints from outside go unheard");
    }
    let workers = tokio::spawn(futures::future::join_all(armed));
    let lost = tokio::select! {
        () = stop.cancelled() => false,
        _ = leadership.wait_for(|leads| !*leads) => !stop.is_cancelled(),
    };
    // What runs may end; nothing new begins, and only then may another replica write.
    stop.cancel();
    let _ = workers.await;
    context.metrics.leader.set(0);
    let _ = released.await;
    anyhow::ensure!(!lost, "this replica lost the Lease; another one writes now");
    Ok(())
}

/// SIGUSR1 asks for a new sealing key, as it does in the reference.
async fn hear_orders(context: controllers::Context, keys: cluster::Keys) {
    let Ok(mut orders) = signal(SignalKind::user_defined1()) else { return };
    while context.stop.run_until_cancelled(orders.recv()).await.flatten().is_some() {
        if context.metrics.leader.get() == 1 {
            tracing::info!("asked for a new sealing key");
            keys.ask_for_a_new_one();
        } else {
            tracing::warn!(
                "asked for a new sealing key, but this replica does not lead; annotate the KeyReport `sealing-keys` \
                 with chancery.dev/renew-key=true instead"
            );
        }
    }
}

async fn terminated() {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without signal handlers the default action ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to stop");
}
