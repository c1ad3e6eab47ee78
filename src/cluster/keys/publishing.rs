//! What others may know of the keys: the public certificates for whoever seals, the report for whoever looks after them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};

use super::{KeyRing, Keys, object_ref};
use crate::api::key_report::{self, KeyReportStatus};
use crate::cluster::{Cluster, Error};
use crate::plan::{Change, Manifest, ObjectKey, ObjectRef};

/// The ConfigMap with the public certificates.
pub const PUBLIC_KEYS: &str = "chancery-public-keys";
/// In it: the certificate that seals now.
const SEALING: &str = "cert.pem";
/// In it: all certificates, the newest first.
const ALL: &str = "all.pem";
const MANAGER: &str = "chancery";

impl Keys {
    /// Brings the public certificates up to date, if they are not.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn publish_certificates(&self, cluster: &Cluster, ring: &KeyRing) -> Result<(), Error> {
        let Some(sealing) = ring.certificate() else { return Ok(()) };
        let data =
            BTreeMap::from([(SEALING.to_owned(), sealing.to_owned()), (ALL.to_owned(), ring.certificates().concat())]);
        let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
        let object = object_ref(cluster, "ConfigMap", PUBLIC_KEYS);
        let stands = cluster.within(&object, api.get_opt(PUBLIC_KEYS)).await?;
        if stands.is_some_and(|stands| stands.data.as_ref() == Some(&data)) {
            return Ok(());
        }
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                name: Some(PUBLIC_KEYS.to_owned()),
                labels: Some([("app.kubernetes.io/part-of".to_owned(), "chancery".to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(MANAGER).force();
        cluster.within(&object, api.patch(PUBLIC_KEYS, &params, &Patch::Apply(wanted))).await.map(drop)
    }

    /// Brings the report up to date, made when absent; writes nothing when it says the same already.
    ///
    /// # Errors
    ///
    /// Trouble with the API server; [`Error::UnknownKind`] without its CustomResourceDefinition.
    pub async fn publish_report(&self, cluster: &Cluster, status: &KeyReportStatus) -> Result<(), Error> {
        let object = report_ref(cluster);
        let stands = match cluster.get(&object).await? {
            Some(stands) => stands,
            None => {
                let Ok(manifest) = Manifest::new(json!({
                    "apiVersion": object.api_version, "kind": object.kind,
                    "metadata": { "name": object.key.name, "namespace": object.key.namespace },
                    "spec": {},
                })) else {
                    return Ok(());
                };
                match cluster.carry_out(&Change::Create { manifest, manager: MANAGER.to_owned() }).await {
                    Ok(written) => written.stored.ok_or_else(|| Error::Unreadable(object.to_string()))?,
                    // Made by another meanwhile: the next look finds it.
                    Err(Error::AlreadyExists(_)) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        let current = stands.fields().get("status").cloned().unwrap_or(Value::Null);
        let desired = serde_json::to_value(status).unwrap_or_default();
        if current == desired {
            return Ok(());
        }
        cluster.write_status(&object, stands.uid(), (&current, &desired), None, true).await.map(drop)
    }

    /// Takes an order that was carried out off the report. Returns the version without it.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn tick_off(&self, cluster: &Cluster, annotation: &str) -> Result<String, Error> {
        let patch = json!({ "metadata": { "annotations": { annotation: null } } });
        match cluster.merge(&report_ref(cluster), &patch).await {
            Ok(written) => Ok(written.resource_version),
            // The order went with the report.
            Err(Error::NotFound(_)) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

fn report_ref(cluster: &Cluster) -> ObjectRef {
    ObjectRef {
        api_version: "chancery.dev/v1alpha1".to_owned(),
        kind: "KeyReport".to_owned(),
        key: ObjectKey::new(cluster.namespace(), key_report::NAME),
    }
}
