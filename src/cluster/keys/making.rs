//! New keys: the first one, made once and never at the wrong moment, and those that follow it.

use aws_lc_rs::rsa::{KeyPair, KeySize};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose};
use rustls::pki_types::PrivatePkcs8KeyDer;
use seal::api::{KEY_ACTIVE, KEY_LABEL};
use zeroize::Zeroizing;

use super::forms::{pem_of, pkcs1_of};
use super::{KEY_BIRTH, KeyPolicy, Keys, object_ref};
use crate::api::key_report::GENERATE_KEY;
use crate::cluster::{Cluster, Error};
use crate::plan::Note;

/// What became of an attempt to make a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It was made, or another process made it.
    Made,
    /// It was not, on purpose.
    Refused,
}

impl Keys {
    /// Makes the first key under the name in the record, which is made first.
    ///
    /// `needed_before` says that SealedSecrets exist which an absent key once opened: then a new key would only hide the
    /// loss, and it is made only when `asked` for, or by the annotation.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn give_birth(&self, cluster: &Cluster, needed_before: bool, asked: bool) -> Result<Birth, Error> {
        let record = birth_record(cluster, self.policy()).await?;
        let annotated = record.annotations().get(GENERATE_KEY).is_some_and(|value| value == "true");
        if (needed_before || self.policy().require_existing) && !asked && !annotated {
            self.refuse(cluster, &record, needed_before).await;
            return Ok(Birth::Refused);
        }
        let name = record.data.as_ref().and_then(|data| data.get("secret")).cloned().unwrap_or_default();
        self.make(cluster, &name).await?;
        *self.lock_refusal() = None;
        if annotated {
            let patch = serde_json::json!({ "metadata": { "annotations": { GENERATE_KEY: null } } });
            let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
            let object = object_ref(cluster, "ConfigMap", KEY_BIRTH);
            cluster.within(&object, api.patch(KEY_BIRTH, &PatchParams::default(), &Patch::Merge(patch))).await?;
        }
        Ok(Birth::Made)
    }

    /// Makes a further key, which seals from then on.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn renew(&self, cluster: &Cluster) -> Result<(), Error> {
        let name = generated_name(&self.policy().prefix)?;
        self.make(cluster, &name).await
    }

    async fn make(&self, cluster: &Cluster, name: &str) -> Result<(), Error> {
        let policy = self.policy();
        tracing::info!(secret = name, "makes a sealing key");
        let made = {
            let policy = policy.clone();
            let interrupted = || Error::Configuration("making a key was interrupted".to_owned());
            self.at_work(move || new_key(&policy)).await.ok_or_else(interrupted)??
        };
        let mut labels = policy.labels.clone();
        labels.insert(KEY_LABEL.to_owned(), KEY_ACTIVE.to_owned());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels),
                annotations: Some(policy.annotations.clone()).filter(|all| !all.is_empty()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                [
                    ("tls.crt".to_owned(), ByteString(made.certificate.clone().into_bytes())),
                    ("tls.key".to_owned(), ByteString(made.private.to_vec())),
                ]
                .into(),
            ),
            ..Secret::default()
        };
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
        let object = object_ref(cluster, "Secret", name);
        match cluster.within(&object, api.create(&PostParams::default(), &secret)).await {
            Ok(_) => {
                // As the reference does: whoever watches the log can pick it up.
                tracing::info!(secret = name, certificate = made.certificate, "a sealing key was made");
                Ok(())
            }
            // The other one's key counts, ours is forgotten.
            Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn refuse(&self, cluster: &Cluster, record: &ConfigMap, needed_before: bool) {
        let namespace = cluster.namespace();
        let why = match needed_before {
            true => "SealedSecrets exist that one opened before; a new key could not open them",
            false => "--require-existing-key says that one is restored or brought",
        };
        let words = format!(
            "no sealing key is there, but {why}. Restore the key Secrets into namespace {namespace} from a backup, or, \
             if a new one is meant: kubectl annotate configmap {KEY_BIRTH} -n {namespace} {GENERATE_KEY}=true"
        );
        if self.lock_refusal().replace(words.clone()).as_ref() == Some(&words) {
            return;
        }
        tracing::warn!(reason = "KeyMissing", "{words}");
        let note = Note { warning: true, reason: "KeyMissing".to_owned(), message: words };
        let object = object_ref(cluster, "ConfigMap", KEY_BIRTH);
        if let Err(error) = cluster.publish(&object, &record.uid().unwrap_or_default(), &note).await {
            tracing::debug!(%error, "the event could not be published");
        }
    }
}

struct NewKey {
    certificate: String,
    private: Zeroizing<Vec<u8>>,
}

/// Makes an RSA key and its self-signed certificate. Takes a second.
fn new_key(policy: &KeyPolicy) -> Result<NewKey, Error> {
    let failed = |what: &str| Error::Configuration(format!("cannot make a sealing key: {what}"));
    let size = match policy.bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        8192 => KeySize::Rsa8192,
        _ => KeySize::Rsa4096,
    };
    let pair = KeyPair::generate(size).map_err(|_| failed("no random numbers"))?;
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
        .map_err(|_| failed("it cannot be written"))?;
    let signing = PrivatePkcs8KeyDer::from(der.as_ref());
    let signing = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&signing, &rcgen::PKCS_RSA_SHA256)
        .map_err(|_| failed("it cannot sign"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !policy.common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, policy.common_name.clone());
    }
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + policy.ttl).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::EncipherOnly];
    let certificate = params.self_signed(&signing).map_err(|_| failed("no certificate"))?;
    let pkcs1 = pkcs1_of(der.as_ref()).ok_or_else(|| failed("it cannot be written"))?;
    Ok(NewKey { certificate: certificate.pem(), private: pem_of(pkcs1) })
}

/// The record of the key that is to be, made when absent.
async fn birth_record(cluster: &Cluster, policy: &KeyPolicy) -> Result<ConfigMap, Error> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let object = object_ref(cluster, "ConfigMap", KEY_BIRTH);
    if let Some(record) = cluster.within(&object, api.get_opt(KEY_BIRTH)).await? {
        return Ok(record);
    }
    let record = ConfigMap {
        metadata: ObjectMeta {
            name: Some(KEY_BIRTH.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "chancery".to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([("secret".to_owned(), generated_name(&policy.prefix)?)].into()),
        ..ConfigMap::default()
    };
    match cluster.within(&object, api.create(&PostParams::default(), &record)).await {
        Err(Error::AlreadyExists(_)) => cluster.within(&object, api.get(KEY_BIRTH)).await,
        made => made,
    }
}

/// The prefix and five letters of those that Kubernetes itself uses for generated names.
fn generated_name(prefix: &str) -> Result<String, Error> {
    let mut random = [0_u8; 5];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Configuration("no random numbers".to_owned()))?;
    let letters: String =
        random.iter().map(|&byte| char::from(b"bcdfghjklmnpqrstvwxz2456789"[usize::from(byte) % 27])).collect();
    Ok(format!("{prefix}{letters}"))
}

#[cfg(test)]
mod tests {
    use seal::{Certificate, UnwrapKey};

    use super::*;

    #[test]
    fn a_new_key_is_as_the_reference_makes_it() {
        let policy = KeyPolicy { bits: 2048, common_name: "here".to_owned(), ..KeyPolicy::default() };
        let made = new_key(&policy).unwrap();
        let private = String::from_utf8(made.private.to_vec()).unwrap();
        assert!(private.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        let certificate = Certificate::from_pem(&made.certificate).unwrap();
        assert_eq!(*seal::RsaUnwrapKey::from_pem(&private).unwrap().fingerprint(), certificate.fingerprint);
        assert_eq!(certificate.not_after - certificate.not_before, 3650 * 86_400);
    }
}
