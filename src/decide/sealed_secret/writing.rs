//! What to do to the Secret that stands, so that it is as it should be and nothing of others' is lost by accident.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::decide::ownership::Ownership;
use crate::plan::{SecretManifest, SecretValues};

/// The type that the API server gives a Secret without one.
const DEFAULT_TYPE: &str = "Opaque";

/// Whose the Secret is, and whether our values go among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub ownership: Ownership,
    /// Values, labels and annotations of others stay.
    pub merge: bool,
}

/// Who wrote for us, as the Secret's managed fields name them.
#[derive(Clone, Copy, Debug)]
pub struct Managers {
    /// Ours.
    pub ours: &'static str,
    /// The controller whose place we take.
    pub peers: &'static str,
}

/// Why the Secret is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is somebody else's.
    #[error("it is not ours")]
    Foreign,
    /// The API server never changes a type.
    #[error("its type is {is} and should be {wanted}, and a type cannot be changed in place")]
    Type {
        /// As it is.
        is: String,
        /// As it should be.
        wanted: String,
    },
    /// Its content is sealed against changes.
    #[error("the target Secret is immutable and its content should change")]
    Immutable,
    /// It goes away, when its finalizers let it.
    #[error("it is being deleted; it is made anew when it is gone")]
    Terminating,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make it.
    Create(SecretManifest),
    /// It is as it should be.
    Keep,
    /// Apply what is ours; then take away what apply leaves ([`strays`]).
    Mend {
        /// What is ours.
        apply: SecretManifest,
        /// Owners, by their place, that go before: two controllers of one object are refused.
        owners: Vec<usize>,
    },
    /// Delete it and make it anew.
    Recreate(SecretManifest),
}

/// Names in a Secret that nobody should find there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Keys of `data`.
    pub data: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeSet<String>,
    /// Annotations.
    pub annotations: BTreeSet<String>,
    /// Owners, by their place.
    pub owners: Vec<usize>,
}

impl Strays {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Decides what to do to the Secret that stands; `recreate` says that it may be deleted for it.
///
/// # Errors
///
/// [`Refusal`].
pub fn plan(
    wanted: &SecretManifest,
    live: Option<(&SecretValues, Claim)>,
    managers: Managers,
    recreate: bool,
) -> Result<Step, Refusal> {
    let Some((live, claim)) = live else { return Ok(Step::Create(wanted.clone())) };
    if claim.ownership == Ownership::Foreign {
        return Err(Refusal::Foreign);
    }
    if live.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::Terminating);
    }
    let recreate = recreate && claim.ownership == Ownership::Ours && !claim.merge;
    let refusal = type_refused(wanted, live, claim).or_else(|| content_refused(wanted, live, claim));
    match refusal {
        Some(_) if recreate => return Ok(Step::Recreate(wanted.clone())),
        Some(refusal) => return Err(refusal),
        None => {}
    }
    let strays = strays(wanted, live, claim, managers);
    if strays.is_empty() && holds(wanted, live, claim) {
        return Ok(Step::Keep);
    }
    let mut apply = wanted.clone();
    if claim.ownership == Ownership::Patchable {
        apply.owner = None;
    }
    // As the reference does: both are of the making, and a finalizer that somebody took off stays off.
    apply.finalizers.clear();
    apply.immutable = None;
    if apply.type_.is_empty() || claim.merge {
        apply.type_ = live.type_.clone();
    }
    Ok(Step::Mend { apply, owners: strays.owners })
}

/// What is in the Secret and should not be.
///
/// In a Secret of ours that is every value that is not wanted, and labels and annotations that we, or the controller
/// before us, once set; when it is taken over, all of them. In somebody else's it is only what we once set and nobody
/// else holds.
pub fn strays(wanted: &SecretManifest, live: &SecretValues, claim: Claim, managers: Managers) -> Strays {
    let mine = wanted.owner.as_ref().and_then(|owner| owner["uid"].as_str());
    let once = Held::by(&live.metadata, |entry| is_ours(entry, managers, mine));
    let others = Held::by(&live.metadata, |entry| !is_ours(entry, managers, mine) && !is_peers(entry, managers));
    let takes_over = claim.ownership == Ownership::Adoptable && !claim.merge;
    let is_stray = |name: &String, once: &BTreeSet<String>, others: &BTreeSet<String>| match claim.merge {
        true => once.contains(name) && !others.contains(name),
        false => takes_over || once.contains(name),
    };
    let names = |all: Option<&std::collections::BTreeMap<String, String>>| -> Vec<String> {
        all.into_iter().flat_map(|all| all.keys().cloned()).collect()
    };
    Strays {
        data: live
            .data
            .keys()
            .filter(|name| !wanted.data.contains_key(*name))
            .filter(|name| !claim.merge || is_stray(name, &once.data, &others.data))
            .cloned()
            .collect(),
        labels: names(live.metadata.labels.as_ref())
            .into_iter()
            .filter(|name| !wanted.labels.contains_key(name) && is_stray(name, &once.labels, &others.labels))
            .collect(),
        annotations: names(live.metadata.annotations.as_ref())
            .into_iter()
            .filter(|name| !wanted.annotations.contains_key(name))
            .filter(|name| is_stray(name, &once.annotations, &others.annotations))
            .collect(),
        owners: stray_owners(wanted, &live.metadata, claim, takes_over),
    }
}

/// Keys of the Secret whose values the controller in whose place we work was the last to set.
pub fn set_by_peer(live: &SecretValues, managers: Managers) -> BTreeSet<String> {
    Held::by(&live.metadata, |entry| is_peers(entry, managers)).data
}

/// Owners that must go: all others when the Secret is taken over, another controller when ours comes.
fn stray_owners(wanted: &SecretManifest, live: &ObjectMeta, claim: Claim, takes_over: bool) -> Vec<usize> {
    let keeps: Vec<&str> = wanted.owner.iter().filter_map(|owner| owner["uid"].as_str()).collect();
    let owners = live.owner_references.iter().flatten().enumerate();
    let goes = owners.filter(|(_, owner)| {
        let stays = keeps.contains(&owner.uid.as_str());
        let rival = owner.controller == Some(true) && claim.ownership != Ownership::Patchable && !keeps.is_empty();
        !stays && (takes_over || rival)
    });
    goes.map(|(place, _)| place).collect()
}

fn type_refused(wanted: &SecretManifest, live: &SecretValues, claim: Claim) -> Option<Refusal> {
    let type_ = match wanted.type_.as_str() {
        // In somebody else's Secret an empty type is no opinion.
        "" if claim.merge => return None,
        "" => DEFAULT_TYPE,
        other => other,
    };
    (type_ != live.type_).then(|| Refusal::Type { is: live.type_.clone(), wanted: type_.to_owned() })
}

fn content_refused(wanted: &SecretManifest, live: &SecretValues, claim: Claim) -> Option<Refusal> {
    (live.immutable && !values_hold(wanted, live, claim)).then_some(Refusal::Immutable)
}

fn values_hold(wanted: &SecretManifest, live: &SecretValues, claim: Claim) -> bool {
    (claim.merge || wanted.data.len() == live.data.len())
        && wanted.data.iter().all(|(name, value)| live.data.get(name) == Some(value))
}

fn holds(wanted: &SecretManifest, live: &SecretValues, claim: Claim) -> bool {
    let has = |all: Option<&std::collections::BTreeMap<String, String>>,
               wanted: &std::collections::BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| all.and_then(|all| all.get(name)) == Some(value))
    };
    let owner = wanted.owner.as_ref().and_then(|owner| owner["uid"].as_str());
    let owned = claim.ownership == Ownership::Patchable
        || owner.is_none_or(|uid| {
            let owners = live.metadata.owner_references.iter().flatten();
            owners.into_iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
        });
    owned
        && values_hold(wanted, live, claim)
        && has(live.metadata.labels.as_ref(), &wanted.labels)
        && has(live.metadata.annotations.as_ref(), &wanted.annotations)
}

/// Fields that some managers hold.
#[derive(Default)]
struct Held {
    data: BTreeSet<String>,
    labels: BTreeSet<String>,
    annotations: BTreeSet<String>,
}

impl Held {
    fn by(metadata: &ObjectMeta, whose: impl Fn(&ManagedFieldsEntry) -> bool) -> Self {
        let mut held = Self::default();
        for entry in metadata.managed_fields.iter().flatten().filter(|entry| whose(entry)) {
            let Some(fields) = entry.fields_v1.as_ref().map(|fields| &fields.0) else { continue };
            for (pointer, names) in [
                ("/f:data", &mut held.data),
                ("/f:metadata/f:labels", &mut held.labels),
                ("/f:metadata/f:annotations", &mut held.annotations),
            ] {
                let found = fields.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
                names.extend(found.filter_map(|name| name.strip_prefix("f:")).map(ToOwned::to_owned));
            }
        }
        held
    }
}

fn is_ours(entry: &ManagedFieldsEntry, managers: Managers, owner: Option<&str>) -> bool {
    entry.manager.as_deref() == Some(managers.ours) || (is_peers(entry, managers) && sets_owner(entry, owner))
}

fn is_peers(entry: &ManagedFieldsEntry, managers: Managers) -> bool {
    entry.manager.as_deref() == Some(managers.peers) && entry.operation.as_deref() == Some("Update")
}

/// Whether these are the fields of who made the SealedSecret the owner: many programs are called `controller`.
fn sets_owner(entry: &ManagedFieldsEntry, owner: Option<&str>) -> bool {
    let owners = entry.fields_v1.as_ref().and_then(|fields| fields.0.pointer("/f:metadata/f:ownerReferences"));
    let owners = owners.and_then(Value::as_object).into_iter().flat_map(|owners| owners.keys());
    let mut named = owners.filter(|name| owner.is_some_and(|uid| name.contains(uid)));
    named.next().is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::ObjectKey;

    const MANAGERS: Managers = Managers { ours: "us", peers: "controller" };
    const OURS: Claim = Claim { ownership: Ownership::Ours, merge: false };
    const TAKEN: Claim = Claim { ownership: Ownership::Adoptable, merge: false };
    const GUEST: Claim = Claim { ownership: Ownership::Patchable, merge: true };

    fn wanted() -> SecretManifest {
        SecretManifest {
            key: ObjectKey::new("ns", "x"),
            labels: [("app".to_owned(), "shop".to_owned())].into(),
            owner: Some(json!({ "uid": "u", "controller": true })),
            data: [("pin".to_owned(), b"7".to_vec().into())].into(),
            ..SecretManifest::default()
        }
    }

    fn live(edit: impl FnOnce(&mut SecretValues)) -> SecretValues {
        let mut live = SecretValues {
            metadata: serde_json::from_value(json!({
                "labels": { "app": "shop", "theirs": "1" },
                "ownerReferences": [
                    { "apiVersion": "v1", "kind": "SealedSecret", "name": "x", "uid": "u", "controller": true },
                ],
                "managedFields": [{
                    "manager": "us", "operation": "Update",
                    "fieldsV1": { "f:data": { ".": {}, "f:pin": {}, "f:old": {} }, "f:metadata": { "f:labels": { "f:app": {}, "f:gone": {} } } },
                }],
            }))
            .unwrap(),
            type_: "Opaque".to_owned(),
            immutable: false,
            data: wanted().data,
        };
        edit(&mut live);
        live
    }

    fn word(step: &Result<Step, Refusal>) -> &'static str {
        match step {
            Ok(Step::Create(_)) => "create",
            Ok(Step::Keep) => "keep",
            Ok(Step::Mend { .. }) => "mend",
            Ok(Step::Recreate(_)) => "recreate",
            Err(Refusal::Foreign) => "foreign",
            Err(Refusal::Type { .. }) => "type",
            Err(Refusal::Immutable) => "immutable",
            Err(Refusal::Terminating) => "terminating",
        }
    }

    #[test]
    fn what_is_done_to_the_secret_that_stands() {
        type Edit = fn(&mut SecretValues);
        let put: Edit = |live| drop(live.data.insert("extra".to_owned(), b"x".to_vec().into()));
        let label: Edit =
            |live| drop(live.metadata.labels.get_or_insert_default().insert("gone".to_owned(), "1".to_owned()));
        let cases: [(&str, Edit, Claim, bool, &str); 15] = [
            ("as it should be", |_| {}, OURS, false, "keep"),
            (
                "a value edited",
                |live| drop(live.data.insert("pin".to_owned(), b"8".to_vec().into())),
                OURS,
                false,
                "mend",
            ),
            ("a value added", put, OURS, false, "mend"),
            ("a value of theirs beside ours", put, GUEST, false, "keep"),
            (
                "a value of ours that is no longer wanted",
                |live| drop(live.data.insert("old".to_owned(), vec![1].into())),
                GUEST,
                false,
                "mend",
            ),
            ("a label that we no longer want", label, OURS, false, "mend"),
            ("taken over with labels of others", |_| {}, TAKEN, false, "mend"),
            ("our label gone", |live| live.metadata.labels = None, OURS, false, "mend"),
            ("another type", |live| live.type_ = "t".to_owned(), OURS, false, "type"),
            ("another type, may be made anew", |live| live.type_ = "t".to_owned(), OURS, true, "recreate"),
            ("another type of theirs", |live| live.type_ = "t".to_owned(), GUEST, true, "keep"),
            ("immutable and equal", |live| live.immutable = true, OURS, false, "keep"),
            (
                "immutable and not",
                |live| {
                    live.immutable = true;
                    live.data.clear();
                },
                OURS,
                false,
                "immutable",
            ),
            (
                "theirs, immutable, may be made anew",
                |live| {
                    live.immutable = true;
                    live.data.clear();
                },
                TAKEN,
                true,
                "immutable",
            ),
            ("foreign", |_| {}, Claim { ownership: Ownership::Foreign, merge: false }, true, "foreign"),
        ];
        for (name, edit, claim, recreate, expected) in cases {
            let step = plan(&wanted(), Some((&live(edit), claim)), MANAGERS, recreate);
            assert_eq!(word(&step), expected, "{name}");
        }
        assert_eq!(word(&plan(&wanted(), None, MANAGERS, false)), "create");
    }

    #[test]
    fn only_what_apply_leaves_is_taken_away() {
        let full = live(|live| {
            live.data.insert("extra".to_owned(), b"x".to_vec().into());
            live.metadata.labels.get_or_insert_default().insert("gone".to_owned(), "1".to_owned());
            live.metadata.annotations = Some([("note".to_owned(), "x".to_owned())].into());
        });
        let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let ours = strays(&wanted(), &full, OURS, MANAGERS);
        assert_eq!((ours.data, ours.labels, ours.annotations), (all(&["extra"]), all(&["gone"]), all(&[])));
        let taken = strays(&wanted(), &full, TAKEN, MANAGERS);
        assert_eq!((taken.labels, taken.annotations), (all(&["gone", "theirs"]), all(&["note"])));
        let guest = strays(&wanted(), &full, GUEST, MANAGERS);
        assert_eq!((guest.data, guest.labels), (all(&[]), all(&["gone"])));
    }

    #[test]
    fn what_the_controller_before_us_set_counts_as_ours() {
        let entry = |owner: Value| {
            json!([{
                "manager": "controller", "operation": "Update",
                "fieldsV1": { "f:metadata": { "f:labels": { "f:theirs": {} }, "f:ownerReferences": owner } },
            }])
        };
        for (owner, expected) in [(json!({ "k:{\"uid\":\"u\"}": {} }), 1), (json!({}), 0)] {
            let live = live(|live| live.metadata.managed_fields = serde_json::from_value(entry(owner)).unwrap());
            assert_eq!(strays(&wanted(), &live, OURS, MANAGERS).labels.len(), expected);
        }
    }

    #[test]
    fn another_controller_gives_way_when_the_secret_is_taken_over() {
        let rival = live(|live| {
            live.metadata.owner_references.get_or_insert_default()[0].uid = "other".to_owned();
        });
        let Ok(Step::Mend { owners, apply }) = plan(&wanted(), Some((&rival, TAKEN)), MANAGERS, false) else {
            panic!("it is not mended")
        };
        assert_eq!((owners, apply.owner.unwrap()["uid"].as_str()), (vec![0], Some("u")));
        assert!(strays(&wanted(), &rival, GUEST, MANAGERS).owners.is_empty());
    }
}
