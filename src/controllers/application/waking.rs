//! What wakes an Application: its own change, its project's, an object's that it manages, the doorbell, the poll.

use std::sync::Arc;

use kube::api::ObjectMeta;

use super::{Context, Repositories, Stores, doorbell, key_of};
use crate::address::normalise;
use crate::api::Application;
use crate::api::application::TRACKING_ID;
use crate::cluster::{Seen, Watched};
use crate::decide::application::{SHARED, spec, tracking};
use crate::plan::ObjectRef;
use crate::scheduler::{Class, Scheduler};

pub(super) fn wake_by_applications(stores: &Stores, queue: &Scheduler) {
    let (queue, all) = (queue.clone(), stores.applications.clone());
    stores.applications.on_seen(move |seen, key, object| match seen {
        Seen::Listed => {
            let asks = object
                .0
                .as_ref()
                .is_ok_and(|application| application.operation.is_some() || application.status.is_none());
            queue.push(key.clone(), if asks { Class::Changed } else { Class::Backlog });
        }
        Seen::Made => queue.push(key.clone(), Class::New),
        Seen::Changed => queue.push(key.clone(), Class::Changed),
        Seen::Gone => {
            queue.push(key.clone(), Class::Changed);
            wake_sharers(&queue, &all);
        }
        Seen::Touched => {}
    });
}

/// What another Application held may be free now.
fn wake_sharers(queue: &Scheduler, applications: &Watched<Application>) {
    for object in applications.all() {
        let Ok(application) = &object.0 else { continue };
        let conditions = application.status.iter().flat_map(|status| &status.conditions);
        if conditions.into_iter().any(|condition| condition.type_ == SHARED) {
            queue.push(key_of(application), Class::Woken);
        }
    }
}

pub(super) fn wake_by_projects(stores: &Stores, queue: &Scheduler) {
    let (queue, applications) = (queue.clone(), stores.applications.clone());
    stores.projects.on_seen(move |seen, key, _| {
        if matches!(seen, Seen::Listed | Seen::Touched) {
            return;
        }
        for object in applications.all() {
            if let Ok(application) = &object.0
                && spec::project_name(application) == key.name
            {
                queue.push(key_of(application), Class::Woken);
            }
        }
    });
}

pub(super) fn wake_by_doorbell(stores: &Stores, hints: tokio::sync::mpsc::UnboundedSender<String>) {
    doorbell::on_hint(&stores.doorbells, move |hint| {
        if let Some(repository) = &hint.repository {
            // Nobody listens while another replica leads.
            let _ = hints.send(repository.clone());
        }
    });
}

pub(super) fn wake_by_object(
    queue: &Scheduler,
    applications: &Watched<Application>,
    control_namespace: &str,
    seen: Seen,
    object: &ObjectRef,
    metadata: &ObjectMeta,
) {
    if seen == Seen::Listed {
        return;
    }
    let id = metadata.annotations.as_ref().and_then(|annotations| annotations.get(TRACKING_ID));
    let Some((instance, _)) = id.and_then(|id| tracking::read(id, object)) else { return };
    let key = tracking::application(instance, control_namespace);
    if applications.has(&key) {
        queue.push(key, Class::Woken);
    }
    if seen == Seen::Gone {
        wake_sharers(queue, applications);
    }
}

/// Asks all remotes now and then, and one at once when the doorbell rings for it.
pub(super) async fn poll(
    context: Context,
    applications: Watched<Application>,
    repositories: Arc<Repositories>,
    queue: Scheduler,
    mut rung: tokio::sync::mpsc::UnboundedReceiver<String>,
) {
    loop {
        let only = tokio::select! {
            () = context.stop.cancelled() => return,
            hint = rung.recv() => match hint {
                Some(repository) => Some(normalise(&repository)),
                None => return,
            },
            () = tokio::time::sleep(context.settings.git_poll) => None,
        };
        let all: Vec<Application> = applications.readable().collect();
        let Some(moved) = context.stop.run_until_cancelled(repositories.poll(&all, only.as_deref())).await else {
            return;
        };
        for key in moved {
            queue.push(key, Class::Woken);
        }
    }
}
