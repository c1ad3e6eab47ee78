//! The annotation by which an object knows its Application.

use crate::plan::{ObjectKey, ObjectRef};

/// The name of an Application in tracking ids: bare in the control namespace, `NAMESPACE_NAME` elsewhere.
pub fn instance(application: &ObjectKey, control_namespace: &str) -> String {
    if application.namespace == control_namespace {
        application.name.clone()
    } else {
        format!("{}_{}", application.namespace, application.name)
    }
}

/// The Application that an instance name means.
pub fn application(instance: &str, control_namespace: &str) -> ObjectKey {
    match instance.split_once('_') {
        Some((namespace, name)) => ObjectKey::new(namespace, name),
        None => ObjectKey::new(control_namespace, instance),
    }
}

/// `APP:GROUP/KIND:NAMESPACE/NAME`; a cluster-scoped object bears the destination's namespace.
///
/// Source: recorded; Argo CD leaves out the group's name for the core group, not the slash.
pub fn id(instance: &str, object: &ObjectRef, destination_namespace: &str) -> String {
    let namespace = if object.key.namespace.is_empty() { destination_namespace } else { &object.key.namespace };
    format!("{instance}:{}/{}:{namespace}/{}", object.group(), object.kind, object.key.name)
}

/// The instance that a tracking id names, and whether the id is the object's own: annotations are copied along with
/// objects, and a copy is nobody's.
pub fn read<'a>(id: &'a str, object: &ObjectRef) -> Option<(&'a str, bool)> {
    let mut parts = id.splitn(3, ':');
    let (instance, kind, place) = (parts.next()?, parts.next()?, parts.next()?);
    let (namespace, name) = place.split_once('/')?;
    let own = kind == format!("{}/{}", object.group(), object.kind)
        && name == object.key.name
        && (object.key.namespace.is_empty() || namespace == object.key.namespace);
    Some((instance, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectRef {
        ObjectRef { api_version: api_version.to_owned(), kind: kind.to_owned(), key: ObjectKey::new(namespace, name) }
    }

    #[test]
    fn ids_are_written_and_read_as_argo_cd_does() {
        let map = object("v1", "ConfigMap", "shop", "a");
        assert_eq!(id("app", &map, "dest"), "app:/ConfigMap:shop/a");
        let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:a");
        assert_eq!(id("team_app", &role, "dest"), "team_app:rbac.authorization.k8s.io/ClusterRole:dest/system:a");
        assert_eq!(read("app:/ConfigMap:shop/a", &map), Some(("app", true)));
        assert_eq!(read("app:/ConfigMap:shop/b", &map), Some(("app", false)), "a copy");
        assert_eq!(read("app:rbac.authorization.k8s.io/ClusterRole:dest/system:a", &role), Some(("app", true)));
        assert_eq!(read("nonsense", &map), None);
    }

    #[test]
    fn an_instance_is_an_application() {
        let key = ObjectKey::new("argocd", "app");
        assert_eq!(application(&instance(&key, "argocd"), "argocd"), key);
        let elsewhere = ObjectKey::new("team", "app");
        assert_eq!(application(&instance(&elsewhere, "argocd"), "argocd"), elsewhere);
    }
}
