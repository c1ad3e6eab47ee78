//! Which objects go first.

use crate::plan::ObjectRef;

/// Argo CD's order of kinds, with what makes Secrets beside the Secrets: a workload that mounts one comes after it.
const KINDS: [&str; 42] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "ClusterSecretStore",
    "SecretStore",
    "Secret",
    "SecretList",
    "SealedSecret",
    "ExternalSecret",
    "ClusterExternalSecret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "AppProject",
    "Application",
];

/// By this key objects are applied in ascending and deleted in descending order.
pub fn key(wave: i64, object: &ObjectRef) -> (i64, usize, String, String) {
    let rank = match object.kind.as_str() {
        // Definitions and namespaces come before anything that needs them, whatever its kind.
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        kind => 2 + KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len()),
    };
    (wave, rank, object.kind.clone(), object.key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ObjectKey;

    #[test]
    fn what_is_needed_comes_first() {
        let mut objects: Vec<(i64, &str)> = vec![
            (0, "Deployment"),
            (0, "Widget"),
            (0, "SealedSecret"),
            (0, "CustomResourceDefinition"),
            (1, "Namespace"),
            (0, "SecretStore"),
            (0, "ExternalSecret"),
            (0, "ServiceAccount"),
            (-1, "Job"),
        ];
        objects.sort_by_key(|(wave, kind)| {
            let kind = (*kind).to_owned();
            key(*wave, &ObjectRef { api_version: "v1".to_owned(), kind, key: ObjectKey::new("", "a") })
        });
        let kinds: Vec<_> = objects.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(
            kinds,
            [
                "Job",
                "CustomResourceDefinition",
                "ServiceAccount",
                "SecretStore",
                "SealedSecret",
                "ExternalSecret",
                "Deployment",
                "Widget",
                "Namespace"
            ]
        );
    }
}
