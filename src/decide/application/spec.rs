//! What an Application wants, read so that later steps need not doubt it.

use super::project;
use super::{Finding, INVALID_SPEC};
use crate::address::redacted;
use crate::api::app_project::{AppProject, DEFAULT};
use crate::api::application::{Application, IN_CLUSTER, Source, SyncOperation};
use crate::api::unsupported_fields;
use crate::plan::{ObjectKey, Propagation};

/// Name of the cluster that we run in.
const IN_CLUSTER_NAME: &str = "in-cluster";

/// What an Application wants, within what its project permits.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// The Application.
    pub key: ObjectKey,
    /// Where the manifests are.
    pub source: &'a Source,
    /// Namespace of objects that name none; may be empty.
    pub namespace: &'a str,
    /// What bounds it.
    pub project: &'a AppProject,
    /// Without being asked.
    pub automated: Option<Automated>,
    /// How.
    pub options: Options,
    /// Further fields that are not honoured, as they are told.
    pub unsupported: Vec<String>,
}

/// Automated sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Deletes what left Git.
    pub prune: bool,
    /// Reverts what others change.
    pub self_heal: bool,
    /// Lets everything be pruned.
    pub allow_empty: bool,
}

/// Sync options that we honour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Makes the destination's namespace.
    pub create_namespace: bool,
    /// Nothing is pruned.
    pub keep_all: bool,
    /// Objects of kinds that the cluster does not know do not stop the others.
    pub skip_unknown_kinds: bool,
    /// A sync fails when another Application manages one of the objects.
    pub fail_on_shared: bool,
    /// What becomes of dependents of what is pruned.
    pub propagation: Propagation,
}

/// The bounds within which a spec is read.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// Namespace of projects.
    pub control_namespace: &'a str,
    /// Namespaces that we may touch; none means all.
    pub namespaces: Option<&'a [String]>,
}

/// Reads the spec.
///
/// # Errors
///
/// Everything that is wrong with it, in Argo CD's words.
pub fn read<'a>(
    application: &'a Application,
    project: Option<&'a AppProject>,
    bounds: Bounds<'_>,
) -> Result<Spec<'a>, Vec<Finding>> {
    let invalid = |message: String| Finding::new(INVALID_SPEC, message);
    let name = project_name(application);
    let spec = &application.spec;
    let key = ObjectKey::new(
        application.metadata.namespace.as_deref().unwrap_or_default(),
        application.metadata.name.as_deref().unwrap_or_default(),
    );
    let Some(project) = project else {
        return Err(vec![invalid(format!("Application referencing project {name} which does not exist"))]);
    };
    if key.namespace != bounds.control_namespace && !project::permits_applications_in(project, &key.namespace) {
        let message = format!(
            "application '{}' in namespace '{}' is not permitted to use project '{name}'",
            key.name, key.namespace
        );
        return Err(vec![invalid(message)]);
    }
    let mut findings = Vec::new();
    let mut wrong = |message: String| findings.push(invalid(message));

    if let Some(why) = unsupported_source(application) {
        wrong(why);
    }
    if let Some(why) = unsupported_project(project) {
        wrong(why);
    }
    let source = spec.source.as_ref().filter(|source| !source.repo_url.is_empty() && !source.path.is_empty());
    if source.is_none() {
        wrong("spec.source.repoURL and spec.source.path are required".to_owned());
    }
    let destination = &spec.destination;
    match (destination.server.as_str(), destination.name.as_str()) {
        ("", "") => wrong("Destination server missing from app spec".to_owned()),
        ("", IN_CLUSTER_NAME) | (IN_CLUSTER, "") => {}
        ("", name) => {
            wrong(format!("there are no clusters with this name: {name}; this version deploys to its own cluster"))
        }
        (server, "") => {
            wrong(format!("there are no clusters with this URL: {server}; this version deploys to its own cluster"))
        }
        (server, name) => {
            wrong(format!("application destination can't have both name and server defined: {name} {server}"));
        }
    }
    if findings.is_empty() {
        let mut wrong = |message: String| findings.push(invalid(message));
        if let Some(source) = source
            && !project::permits_repository(project, &source.repo_url)
        {
            let repository = redacted(&source.repo_url);
            wrong(format!("application repo {repository} is not permitted in project '{name}'"));
        }
        if !project::permits_destination(project, &destination.namespace) {
            wrong(format!(
                "application destination server '{IN_CLUSTER}' and namespace '{}' do not match any of the allowed \
                 destinations in project '{name}'",
                destination.namespace
            ));
        }
        if let Some(namespaces) = bounds.namespaces
            && !destination.namespace.is_empty()
            && !namespaces.contains(&destination.namespace)
        {
            wrong(format!("namespace '{}' is not among --namespaces of the operator", destination.namespace));
        }
    }
    let Some(source) = source.filter(|_| findings.is_empty()) else { return Err(findings) };
    let policy = spec.sync_policy.clone().unwrap_or_default();
    let automated = policy.automated.as_ref().filter(|automated| automated.enabled != Some(false));
    let (options, mut unsupported) = options(&policy.sync_options);
    unsupported.extend(unsupported_fields(application).into_iter().filter(|field| field.starts_with("spec.")));
    unsupported.extend(harmless_fields(project));
    // Whoever lists differences to be ignored expects them to last: healing them would fight with what makes them.
    let ignores = unsupported.iter_mut().find(|field| *field == "spec.ignoreDifferences");
    let may_heal = ignores.is_none();
    if let Some(field) = ignores {
        *field += " (so nothing is healed by itself)";
    }
    Ok(Spec {
        key,
        source,
        namespace: &destination.namespace,
        project,
        automated: automated.map(|automated| Automated {
            prune: automated.prune == Some(true),
            self_heal: automated.self_heal == Some(true) && may_heal,
            allow_empty: automated.allow_empty == Some(true),
        }),
        options,
        unsupported,
    })
}

/// The project's name; none means the default one.
pub fn project_name(application: &Application) -> &str {
    if application.spec.project.is_empty() { DEFAULT } else { &application.spec.project }
}

/// Options as they are written, and those among them that we do not honour.
pub fn options(written: &[String]) -> (Options, Vec<String>) {
    let mut options = Options::default();
    let mut unsupported = Vec::new();
    for option in written {
        match option.trim() {
            "CreateNamespace=true" => options.create_namespace = true,
            "Prune=false" => options.keep_all = true,
            "FailOnSharedResource=true" => options.fail_on_shared = true,
            "SkipDryRunOnMissingResource=true" => options.skip_unknown_kinds = true,
            "PrunePropagationPolicy=foreground" => options.propagation = Propagation::Foreground,
            "PrunePropagationPolicy=background" => options.propagation = Propagation::Background,
            "PrunePropagationPolicy=orphan" => options.propagation = Propagation::Orphan,
            // What we always do, and what is the default.
            "ServerSideApply=true"
            | "ApplyOutOfSyncOnly=true"
            | "PruneLast=true"
            | "Validate=true"
            | "CreateNamespace=false"
            | "Prune=true"
            | "FailOnSharedResource=false"
            | "Replace=false"
            | "Force=false"
            | "RespectIgnoreDifferences=false"
            | "" => {}
            other => unsupported.push(format!("spec.syncPolicy.syncOptions[{other}]")),
        }
    }
    (options, unsupported)
}

/// What of an operation is not honoured: it is refused then, because doing less than was asked is no answer.
pub fn unsupported_operation(operation: &SyncOperation) -> Vec<String> {
    operation
        .unhonoured
        .names()
        .filter(|name| *name != "autoHealAttemptsCount")
        .map(|name| format!("operation.sync.{name}"))
        .collect()
}

/// Fields of the source that decide what is applied: without them something else would be.
fn unsupported_source(application: &Application) -> Option<String> {
    let fields: Vec<_> = unsupported_fields(application)
        .into_iter()
        .filter(|field| field.starts_with("spec.source"))
        .filter(|field| field != "spec.source.ref")
        .collect();
    (!fields.is_empty()).then(|| format!("{} is not supported yet: nothing is applied", fields.join(", ")))
}

/// Fields of a project that forbid something: without them more would be permitted than was meant.
fn unsupported_project(project: &AppProject) -> Option<String> {
    let fields: Vec<_> = unsupported_fields(project).into_iter().filter(|field| forbids(field)).collect();
    let name = project.metadata.name.as_deref().unwrap_or_default();
    (!fields.is_empty())
        .then(|| format!("{} of project '{name}' cannot be enforced yet: nothing is applied", fields.join(", ")))
}

fn harmless_fields(project: &AppProject) -> Vec<String> {
    let fields = unsupported_fields(project).into_iter().filter(|field| !forbids(field));
    fields
        .map(|field| format!("{field} of project '{}'", project.metadata.name.as_deref().unwrap_or_default()))
        .collect()
}

fn forbids(field: &str) -> bool {
    !matches!(field, "spec.roles" | "spec.orphanedResources")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn application(change: &Value) -> Application {
        let mut value = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": "a", "namespace": "argocd" },
            "spec": {
                "source": { "repoURL": "https://h/a.git", "path": "." },
                "destination": { "server": IN_CLUSTER, "namespace": "shop" },
            },
        });
        json_patch::merge(&mut value, change);
        serde_json::from_value(value).unwrap()
    }

    fn project(spec: &Value) -> AppProject {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": { "name": "p" }, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_wrong_is_said_in_argo_cds_words() {
        let open = json!({ "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }] });
        let narrow = json!({
            "sourceRepos": ["https://h/other.git"], "destinations": [{ "server": IN_CLUSTER, "namespace": "payments-*" }],
        });
        let windows =
            json!({ "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }], "syncWindows": [{}] });
        for (change, project_spec, expected) in [
            (json!({}), None, "Application referencing project default which does not exist"),
            (
                json!({ "spec": { "destination": { "name": "in-cluster" } } }),
                Some(&open),
                "can't have both name and server",
            ),
            (json!({ "spec": { "destination": { "server": null } } }), Some(&open), "Destination server missing"),
            (
                json!({ "spec": { "destination": { "server": "https://far" } } }),
                Some(&open),
                "no clusters with this URL",
            ),
            (json!({ "spec": { "source": { "path": null } } }), Some(&open), "spec.source.path are required"),
            (json!({ "spec": { "source": { "helm": {} } } }), Some(&open), "spec.source.helm is not supported"),
            (json!({ "spec": { "sources": [{}] } }), Some(&open), "spec.sources is not supported"),
            (json!({}), Some(&narrow), "application repo https://h/a.git is not permitted in project 'default'"),
            (json!({}), Some(&narrow), "do not match any of the allowed destinations"),
            (json!({}), Some(&windows), "spec.syncWindows of project 'p' cannot be enforced"),
            (json!({ "metadata": { "namespace": "elsewhere" } }), Some(&open), "is not permitted to use project"),
        ] {
            let application = application(&change);
            let project = project_spec.map(project);
            let bounds = Bounds { control_namespace: "argocd", namespaces: None };
            let findings = read(&application, project.as_ref(), bounds).unwrap_err();
            assert!(findings.iter().any(|finding| finding.message.contains(expected)), "{expected}: {findings:?}");
            assert!(findings.iter().all(|finding| finding.kind == INVALID_SPEC));
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let open = project(&json!({ "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }] }));
        let application = application(&json!({ "spec": {
            "syncPolicy": {
                "automated": { "prune": true, "selfHeal": true },
                "syncOptions": ["CreateNamespace=true", "Replace=true"],
            },
            "ignoreDifferences": [],
        } }));
        let bounds = Bounds { control_namespace: "argocd", namespaces: None };
        let spec = read(&application, Some(&open), bounds).unwrap();
        assert_eq!(spec.automated, Some(Automated { prune: true, ..Automated::default() }));
        assert!(spec.options.create_namespace);
        let healing = "spec.ignoreDifferences (so nothing is healed by itself)";
        assert_eq!(spec.unsupported, ["spec.syncPolicy.syncOptions[Replace=true]", healing]);
    }
}
