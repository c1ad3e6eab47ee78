//! Sealing keys: Secrets with the reference's label in the operator's namespace, followed live, opened once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::rsa::{KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use seal::api::{KEY_ACTIVE, KEY_LABEL};
use seal::{Certificate, Fingerprint, SecretBytes, UnwrapKey};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::stores::Complaints;
use super::{Cluster, Error};
use crate::plan::{Note, ObjectKey, ObjectRef};
use crate::telemetry::Metrics;

/// The one object that guards the birth of a key: it names the Secret that the key will be, so that two processes, or
/// one that was killed in between, make the same Secret and not two.
pub const KEY_BIRTH: &str = "chancery-sealing-key";
/// On that object: make a key although objects exist that an absent key once opened.
const GENERATE_KEY: &str = "chancery.dev/generate-key";
/// Names of key Secrets begin with this, as the reference's do.
const KEY_PREFIX: &str = "sealed-secrets-key";
/// Ten years, as the reference's certificates.
const CERTIFICATE_DAYS: u64 = 3650;

/// The keys that there are now, newest certificate first: the first one seals.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<Arc<SealingKey>>,
}

struct SealingKey {
    secret: String,
    certificate: Certificate,
    certificate_pem: String,
    unwrap: OaepPrivateDecryptingKey,
    metrics: Arc<Metrics>,
}

impl KeyRing {
    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The certificate to seal with, PEM.
    pub fn certificate(&self) -> Option<&str> {
        self.keys.first().map(|key| key.certificate_pem.as_str())
    }

    /// All keys, those that fitted last time first, then the newest first.
    pub fn in_order<'a>(&'a self, fitted: &BTreeMap<String, i64>) -> Vec<&'a dyn UnwrapKey> {
        let mut keys: Vec<&Arc<SealingKey>> = self.keys.iter().collect();
        keys.sort_by_key(|key| !fitted.contains_key(key.fingerprint().as_str()));
        keys.into_iter().map(|key| &**key as &dyn UnwrapKey).collect()
    }
}

impl UnwrapKey for SealingKey {
    fn fingerprint(&self) -> &Fingerprint {
        &self.certificate.fingerprint
    }

    fn unwrap_key(&self, wrapped: &[u8], label: &[u8]) -> Option<SecretBytes> {
        self.metrics.unwraps.inc();
        let mut room = Zeroizing::new(vec![0; self.unwrap.min_output_size()]);
        let key = self.unwrap.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut room, Some(label)).ok()?;
        Some(key.to_vec().into())
    }
}

/// The keys as they come and go. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    ring: RwLock<Arc<KeyRing>>,
    changes: watch::Sender<u64>,
    ready: watch::Sender<bool>,
    /// Why no key is made, for whoever asks for the certificate.
    refusal: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
}

/// What became of an attempt to make a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It was made, or another process made it.
    Made,
    /// It was not, on purpose.
    Refused,
}

impl Keys {
    /// No keys yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            shared: Arc::new(Shared {
                ring: RwLock::default(),
                changes: watch::Sender::new(0),
                ready: watch::Sender::new(false),
                refusal: Mutex::default(),
                metrics,
            }),
        }
    }

    /// The keys that there are now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.shared.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether they have been listed once.
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    /// Tells of every change of the ring.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Why there is no key, in words for whoever needs one.
    pub fn refusal(&self) -> Option<String> {
        self.lock_refusal().clone()
    }

    /// Follows the key Secrets until `stop`.
    pub async fn follow(&self, cluster: &Cluster, stop: CancellationToken) {
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
        let config = watcher::Config::default().labels(&format!("{KEY_LABEL}={KEY_ACTIVE}"));
        let mut known: HashMap<String, Arc<SealingKey>> = HashMap::new();
        let mut listed = HashMap::new();
        let mut complaints = Complaints::default();
        let mut events = watcher::watcher(api, config).boxed();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(error)) => {
                    complaints.hear("sealing key", &error);
                    tokio::time::sleep(complaints.pause()).await;
                    continue;
                }
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(secret))) => self.read(cluster, &secret, &mut listed).await,
                Some(Ok(Event::InitDone)) => {
                    known = std::mem::take(&mut listed);
                    self.publish(&known);
                    self.shared.ready.send_replace(true);
                }
                Some(Ok(Event::Apply(secret))) => {
                    self.read(cluster, &secret, &mut known).await;
                    self.publish(&known);
                }
                // Deleted, or no longer labelled as active: it opens nothing any more.
                Some(Ok(Event::Delete(secret))) => {
                    tracing::warn!(secret = secret.name_any(), "a sealing key is gone");
                    known.remove(&secret.name_any());
                    self.publish(&known);
                }
            }
            complaints.end();
        }
    }

    /// Makes a key under the name in the record, which is made first.
    ///
    /// `needed_before` says that SealedSecrets exist which an absent key once opened: then a new key would only hide the
    /// loss, and it is made only when `asked` for, or by the annotation.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn give_birth(&self, cluster: &Cluster, needed_before: bool, asked: bool) -> Result<Birth, Error> {
        let record = birth_record(cluster).await?;
        let annotated = record.annotations().get(GENERATE_KEY).is_some_and(|value| value == "true");
        if needed_before && !asked && !annotated {
            self.refuse(cluster, &record).await;
            return Ok(Birth::Refused);
        }
        let name = record.data.as_ref().and_then(|data| data.get("secret")).cloned().unwrap_or_default();
        tracing::info!(secret = name, "makes a sealing key");
        let made = tokio::task::spawn_blocking(new_key)
            .await
            .map_err(|_| Error::Configuration("making a key was interrupted".to_owned()))??;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some([(KEY_LABEL.to_owned(), KEY_ACTIVE.to_owned())].into()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                [
                    ("tls.crt".to_owned(), ByteString(made.certificate.into_bytes())),
                    ("tls.key".to_owned(), ByteString(made.private.to_vec())),
                ]
                .into(),
            ),
            ..Secret::default()
        };
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
        let object = object_ref(cluster, "Secret", &name);
        match cluster.within(&object, api.create(&PostParams::default(), &secret)).await {
            // The other one's key counts, ours is forgotten.
            Ok(_) | Err(Error::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
        *self.lock_refusal() = None;
        if annotated {
            let patch = serde_json::json!({ "metadata": { "annotations": { GENERATE_KEY: null } } });
            let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
            let object = object_ref(cluster, "ConfigMap", KEY_BIRTH);
            cluster.within(&object, api.patch(KEY_BIRTH, &PatchParams::default(), &Patch::Merge(patch))).await?;
        }
        Ok(Birth::Made)
    }

    async fn refuse(&self, cluster: &Cluster, record: &ConfigMap) {
        let namespace = cluster.namespace();
        let words = format!(
            "no sealing key is there, but SealedSecrets exist that one opened before; a new key could not open them. \
             Restore the key Secrets into namespace {namespace} from a backup, or, if they are lost for good: \
             kubectl annotate configmap {KEY_BIRTH} -n {namespace} {GENERATE_KEY}=true"
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

    async fn read(&self, cluster: &Cluster, secret: &Secret, keys: &mut HashMap<String, Arc<SealingKey>>) {
        let name = secret.name_any();
        match SealingKey::of(secret, &self.shared.metrics) {
            Ok(key) => {
                keys.insert(name, Arc::new(key));
            }
            Err(problem) => {
                keys.remove(&name);
                tracing::warn!(secret = name, problem, "a Secret is labelled as sealing key and is none");
                let message = format!("it is labelled as sealing key and cannot be used: {problem}");
                let note = Note { warning: true, reason: "InvalidKey".to_owned(), message };
                let object = object_ref(cluster, "Secret", &name);
                if let Err(error) = cluster.publish(&object, &secret.uid().unwrap_or_default(), &note).await {
                    tracing::debug!(%error, "the event could not be published");
                }
            }
        }
    }

    fn publish(&self, known: &HashMap<String, Arc<SealingKey>>) {
        let mut keys: Vec<_> = known.values().cloned().collect();
        // The newest certificate seals; on a tie the name decides, so that all replicas agree.
        keys.sort_by(|a, b| (b.certificate.not_before, &a.secret).cmp(&(a.certificate.not_before, &b.secret)));
        if !keys.is_empty() {
            *self.lock_refusal() = None;
        }
        tracing::info!(keys = keys.len(), "sealing keys");
        *self.shared.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(KeyRing { keys });
        self.shared.changes.send_modify(|count| *count += 1);
    }

    fn lock_refusal(&self) -> MutexGuard<'_, Option<String>> {
        self.shared.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SealingKey {
    /// Reads a key Secret; what is wrong with it is told without its content.
    fn of(secret: &Secret, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let entry = |name: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name));
            bytes.map(|bytes| bytes.0.as_slice()).ok_or_else(|| format!("it has no {name}"))
        };
        let certificate_pem =
            String::from_utf8(entry("tls.crt")?.to_vec()).map_err(|_| "tls.crt is no text".to_owned())?;
        let certificate = Certificate::from_pem(&certificate_pem).map_err(|error| format!("tls.crt: {error}"))?;
        let private = PrivateKeyDer::from_pem_slice(entry("tls.key")?)
            .map_err(|_| "tls.key is no private key in PEM".to_owned())?;
        let pkcs8 = match &private {
            PrivateKeyDer::Pkcs1(key) => Zeroizing::new(pkcs8_of(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => Zeroizing::new(key.secret_pkcs8_der().to_vec()),
            _ => return Err("tls.key is not an RSA key".to_owned()),
        };
        let unwrap = PrivateDecryptingKey::from_pkcs8(&pkcs8)
            .ok()
            .and_then(|key| OaepPrivateDecryptingKey::new(key).ok())
            .ok_or("tls.key is not an RSA key of 2048 to 8192 bits".to_owned())?;
        let first = first_certificate(&certificate_pem);
        Ok(Self {
            secret: secret.name_any(),
            certificate,
            certificate_pem: first,
            unwrap,
            metrics: Arc::clone(metrics),
        })
    }
}

/// Only the first certificate of several is served, as the reference does.
fn first_certificate(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let start = pem.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
    let end = pem.find(END).map_or(pem.len(), |at| at + END.len());
    format!("{}\n", &pem[start..end])
}

struct NewKey {
    certificate: String,
    private: Zeroizing<Vec<u8>>,
}

/// Makes an RSA-4096 key and its self-signed certificate. Takes a second.
fn new_key() -> Result<NewKey, Error> {
    let failed = |what: &str| Error::Configuration(format!("cannot make a sealing key: {what}"));
    let pair = KeyPair::generate(KeySize::Rsa4096).map_err(|_| failed("no random numbers"))?;
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
        .map_err(|_| failed("it cannot be written"))?;
    let signing = PrivatePkcs8KeyDer::from(der.as_ref());
    let signing = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&signing, &rcgen::PKCS_RSA_SHA256)
        .map_err(|_| failed("it cannot sign"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + std::time::Duration::from_secs(CERTIFICATE_DAYS * 86_400)).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::EncipherOnly];
    let certificate = params.self_signed(&signing).map_err(|_| failed("no certificate"))?;
    let pkcs1 = pkcs1_of(der.as_ref()).ok_or_else(|| failed("it cannot be written"))?;
    Ok(NewKey { certificate: certificate.pem(), private: pem_of(pkcs1) })
}

/// What stands before the PKCS#1 bytes in PKCS#8: version 0, algorithm rsaEncryption without parameters.
const PKCS8_HEAD: [u8; 18] =
    [0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Wraps a PKCS#1 key, as the reference stores it, into PKCS#8, as aws-lc-rs reads it.
fn pkcs8_of(pkcs1: &[u8]) -> Vec<u8> {
    let inner = tagged(0x04, pkcs1);
    tagged(0x30, &[&PKCS8_HEAD[..], &inner].concat())
}

/// The PKCS#1 key within a PKCS#8 one.
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let body = untagged(0x30, pkcs8)?.strip_prefix(&PKCS8_HEAD[..])?;
    untagged(0x04, body)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    let mut bytes = vec![tag];
    match content.len() {
        0..=127 => bytes.extend_from_slice(digits),
        // At most eight digits: the sum fits.
        _ => {
            bytes.push(0x80 | digits.len().to_be_bytes()[7]);
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn untagged(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return rest.get(..usize::from(first));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length =
        digits.iter().try_fold(0_usize, |sum, &digit| sum.checked_mul(256)?.checked_add(usize::from(digit)))?;
    rest.get(..length)
}

fn pem_of(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(seal::wire::encode(pkcs1));
    let mut pem = Zeroizing::new(b"-----BEGIN RSA PRIVATE KEY-----\n".to_vec());
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END RSA PRIVATE KEY-----\n");
    pem
}

/// The record of the key that is to be, made when absent.
async fn birth_record(cluster: &Cluster) -> Result<ConfigMap, Error> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let object = object_ref(cluster, "ConfigMap", KEY_BIRTH);
    if let Some(record) = cluster.within(&object, api.get_opt(KEY_BIRTH)).await? {
        return Ok(record);
    }
    let mut random = [0_u8; 5];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Configuration("no random numbers".to_owned()))?;
    // The letters that Kubernetes itself uses for generated names.
    let letters: String =
        random.iter().map(|&byte| char::from(b"bcdfghjklmnpqrstvwxz2456789"[usize::from(byte) % 27])).collect();
    let record = ConfigMap {
        metadata: ObjectMeta {
            name: Some(KEY_BIRTH.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "chancery".to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([("secret".to_owned(), format!("{KEY_PREFIX}{letters}"))].into()),
        ..ConfigMap::default()
    };
    match cluster.within(&object, api.create(&PostParams::default(), &record)).await {
        Err(Error::AlreadyExists(_)) => cluster.within(&object, api.get(KEY_BIRTH)).await,
        made => made,
    }
}

fn object_ref(cluster: &Cluster, kind: &str, name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), key: ObjectKey::new(cluster.namespace(), name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(certificate: &str, key: &str) -> Secret {
        let read = |file: &str| {
            let path = format!("{}/cli/tests/vectors/keys/{file}", env!("CARGO_MANIFEST_DIR"));
            ByteString(std::fs::read(path).unwrap())
        };
        Secret {
            data: Some([("tls.crt".to_owned(), read(certificate)), ("tls.key".to_owned(), read(key))].into()),
            ..Secret::default()
        }
    }

    #[test]
    fn keys_of_every_form_open_what_their_certificate_sealed() {
        for name in ["k2048", "k3072-pkcs8", "k4096"] {
            let secret = secret(&format!("{name}.crt"), &format!("{name}.key"));
            let key = SealingKey::of(&secret, &Arc::default()).unwrap();
            let item = seal::seal_item(&mut rand::rng(), &key.certificate, b"ns/x", &b"v".to_vec().into()).unwrap();
            let keys: [&dyn UnwrapKey; 1] = [&key];
            assert_eq!(seal::open_item(&item, b"ns/x", keys).unwrap().value.expose(), b"v", "{name}");
            assert!(seal::open_item(&item, b"ns/y", keys).is_err(), "{name}");
            assert_eq!(key.metrics.unwraps.get(), 2);
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_its_content() {
        for (certificate, key, expected) in [
            ("k2048.key", "k2048.key", "tls.crt: it is a private key"),
            ("k2048.crt", "k2048.crt", "tls.key is no private key"),
        ] {
            let problem = SealingKey::of(&secret(certificate, key), &Arc::default()).err().unwrap();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn a_new_key_is_as_the_reference_makes_it() {
        let made = new_key().unwrap();
        let private = String::from_utf8(made.private.to_vec()).unwrap();
        assert!(private.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        let certificate = Certificate::from_pem(&made.certificate).unwrap();
        assert_eq!(*seal::RsaUnwrapKey::from_pem(&private).unwrap().fingerprint(), certificate.fingerprint);
        assert_eq!(certificate.not_after - certificate.not_before, 3650 * 86_400);
    }
}
