//! What a project permits: repositories, destinations, kinds.

use super::SyncCode;
use crate::address::normalise;
use crate::api::AppProject;
use crate::api::app_project::{GroupKind, ProjectDestination};
use crate::api::application::{IN_CLUSTER, SECRET_TYPE};
use crate::api::sealed_secret::KEY_LABEL;
use crate::decide::ownership::mints_credentials;
use crate::glob::{Separator, matches};
use crate::plan::{Manifest, ObjectRef};

/// Whether Applications may be read from a repository: at least one pattern matches and no `!` pattern does. `*` does
/// not cross a slash, except alone.
pub fn permits_repository(project: &AppProject, url: &str) -> bool {
    let url = normalise(url);
    let fits = |pattern: &str| pattern == "*" || matches(&normalise(pattern), &url, Separator::Slash);
    let (denied, allowed): (Vec<&String>, Vec<&String>) =
        project.spec.source_repos.iter().partition(|pattern| pattern.starts_with('!'));
    allowed.iter().any(|pattern| fits(pattern)) && !denied.iter().any(|pattern| fits(&pattern[1..]))
}

/// Whether objects may go to a namespace of our cluster. Here `*` crosses everything. A denial counts wherever it stands.
///
/// Differs from Argo CD where a negated name or namespace is concerned: there the result depends on which of the fields is
/// negated; here an entry with a negated field denies what matches all of its fields.
pub fn permits_destination(project: &AppProject, namespace: &str) -> bool {
    let mut permitted = false;
    for entry in &project.spec.destinations {
        let (cluster, cluster_negated) = fits_cluster(entry);
        let (pattern, namespace_negated) = unnegated(entry.namespace.as_deref().unwrap_or_default());
        if cluster && matches(pattern, namespace, Separator::None) {
            if cluster_negated || namespace_negated {
                return false;
            }
            permitted = true;
        }
    }
    permitted
}

/// Whether an entry means our cluster, by address or name, and whether it does so to deny.
fn fits_cluster(entry: &ProjectDestination) -> (bool, bool) {
    let fits = |written: &Option<String>, is: &str| {
        let (pattern, negated) = unnegated(written.as_deref().unwrap_or_default());
        (!pattern.is_empty() && matches(pattern, is, Separator::None), negated)
    };
    let (by_server, server_negated) = fits(&entry.server, IN_CLUSTER);
    let (by_name, name_negated) = fits(&entry.name, "in-cluster");
    (by_server || by_name, (by_server && server_negated) || (by_name && name_negated))
}

fn unnegated(pattern: &str) -> (&str, bool) {
    pattern.strip_prefix('!').map_or((pattern, false), |pattern| (pattern, true))
}

/// Whether an object's kind is permitted. Cluster-scoped kinds need a whitelist; namespaced ones are permitted unless
/// a whitelist leaves them out.
pub fn permits_kind(project: &AppProject, object: &ObjectRef, namespaced: bool) -> bool {
    let spec = &project.spec;
    let group = object.group();
    let kind_fits = |pattern_group: &str, pattern_kind: &str| {
        fits_word(pattern_group, group) && fits_word(pattern_kind, &object.kind)
    };
    if namespaced {
        let listed = |list: &[GroupKind]| list.iter().any(|entry| kind_fits(&entry.group, &entry.kind));
        return spec.namespace_resource_whitelist.as_deref().is_none_or(listed)
            && !listed(&spec.namespace_resource_blacklist);
    }
    let listed = |list: &[crate::api::app_project::GroupKindName]| {
        list.iter().any(|entry| {
            kind_fits(&entry.group, &entry.kind) && (entry.name.is_empty() || fits_word(&entry.name, &object.key.name))
        })
    };
    listed(&spec.cluster_resource_whitelist) && !listed(&spec.cluster_resource_blacklist)
}

/// Whether Applications outside of the control namespace may use the project.
pub fn permits_applications_in(project: &AppProject, namespace: &str) -> bool {
    project.spec.source_namespaces.iter().any(|pattern| {
        // A pattern between slashes is a regular expression upstream; it matches nothing here, which is the safe side.
        matches(pattern, namespace, Separator::None)
    })
}

/// Go's `filepath.Match` on words without slashes; there are no alternatives in braces.
fn fits_word(pattern: &str, word: &str) -> bool {
    !pattern.contains('{') && matches(pattern, word, Separator::Slash)
}

/// Why a project forbids an object, and how the object is shown then: as recorded of Argo CD.
pub fn refusal(project: &AppProject, object: &ObjectRef, namespaced: bool) -> Option<(SyncCode, String)> {
    let name = project.metadata.name.as_deref().unwrap_or_default();
    if !permits_kind(project, object, namespaced) {
        let group = object.group();
        return Some((
            SyncCode::Unknown,
            format!("resource {group}:{} is not permitted in project {name}.", object.kind),
        ));
    }
    if namespaced && !permits_destination(project, &object.key.namespace) {
        let message = format!("namespace {} is not permitted in project '{name}'", object.key.namespace);
        return Some((SyncCode::OutOfSync, message));
    }
    None
}

/// Why an object would make the author of a repository an administrator, whatever the project permits (D16): a sealing
/// key, a repository's or cluster's credentials, a service account's token.
pub fn privilege(manifest: &Manifest, key_namespace: &str, application_namespaces: &[String]) -> Option<String> {
    if manifest.kind() != "Secret" || manifest.api_version() != "v1" {
        return None;
    }
    let kind = manifest.fields().get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    if mints_credentials(kind) {
        return Some(format!("a Secret of type {kind} mints credentials and is not applied from Git"));
    }
    if manifest.namespace() == key_namespace && manifest.label(KEY_LABEL).is_some() {
        return Some(format!("the label {KEY_LABEL} would make this Secret a sealing key"));
    }
    let holds_applications = application_namespaces.iter().any(|namespace| namespace == manifest.namespace());
    if holds_applications && manifest.label(SECRET_TYPE).is_some() {
        return Some(format!("the label {SECRET_TYPE} would make this Secret a repository's or cluster's credential"));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::ObjectKey;

    fn project(spec: &Value) -> AppProject {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": { "name": "p" }, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn repositories() {
        for (patterns, url, expected) in [
            (json!(["*"]), "https://h/a/b/c", true),
            (json!(["https://h/org/*"]), "https://H/org/a.git", true),
            (json!(["https://h/org/*"]), "https://h/org/a/b", false),
            (json!(["https://h/org/**"]), "https://h/org/a/b", true),
            (json!(["https://h/org/a.git"]), "https://h/org/a", true),
            (json!(["*", "!https://h/org/secret"]), "https://h/org/secret.git", false),
            (json!(["!https://h/org/secret"]), "https://h/org/other", false),
            (json!(["git@h:org/a"]), "ssh://git@h/org/a.git", true),
            (json!([]), "https://h/a", false),
        ] {
            assert_eq!(
                permits_repository(&project(&json!({ "sourceRepos": patterns })), url),
                expected,
                "{patterns} {url}"
            );
        }
    }

    #[test]
    fn destinations() {
        for (entries, namespace, expected) in [
            (json!([{ "server": IN_CLUSTER, "namespace": "payments-*" }]), "payments-eu-west", true),
            (json!([{ "server": IN_CLUSTER, "namespace": "payments-*" }]), "payments", false),
            (json!([{ "name": "in-cluster", "namespace": "*" }]), "any", true),
            (json!([{ "server": "https://other", "namespace": "*" }]), "any", false),
            (
                json!([{ "server": "*", "namespace": "*" }, { "server": "*", "namespace": "!kube-*" }]),
                "kube-system",
                false,
            ),
            (json!([{ "server": "*", "namespace": "!kube-*" }, { "server": "*", "namespace": "*" }]), "shop", true),
            (json!([]), "any", false),
        ] {
            assert_eq!(
                permits_destination(&project(&json!({ "destinations": entries })), namespace),
                expected,
                "{entries}"
            );
        }
    }

    #[test]
    fn kinds() {
        let object = |api_version: &str, kind: &str, name: &str| ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            key: ObjectKey::new("", name),
        };
        let map = object("v1", "ConfigMap", "a");
        let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "reader");
        for (spec, object, namespaced, expected) in [
            (json!({}), &map, true, true),
            (json!({ "namespaceResourceWhitelist": [] }), &map, true, false),
            (json!({ "namespaceResourceWhitelist": [{ "group": "", "kind": "Config*" }] }), &map, true, true),
            (json!({ "namespaceResourceBlacklist": [{ "group": "*", "kind": "*" }] }), &map, true, false),
            (json!({}), &role, false, false),
            (json!({ "clusterResourceWhitelist": [{ "group": "*", "kind": "Cluster*" }] }), &role, false, true),
            (
                json!({ "clusterResourceWhitelist": [{ "group": "*", "kind": "*", "name": "writer" }] }),
                &role,
                false,
                false,
            ),
            (
                json!({
                    "clusterResourceWhitelist": [{ "group": "*", "kind": "*" }],
                    "clusterResourceBlacklist": [{ "group": "rbac.*", "kind": "ClusterRole" }],
                }),
                &role,
                false,
                false,
            ),
        ] {
            assert_eq!(permits_kind(&project(&spec), object, namespaced), expected, "{spec} {object}");
        }
    }
}
