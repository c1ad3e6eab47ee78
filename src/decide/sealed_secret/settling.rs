//! The whole decision about one Secret: what it should be, whose it is, and what to do.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::{Bounds, Claim, Danger, Error, Made, Managers, Opened, Refusal, Rendering, Rules, Step};
use super::{make, make_as_found, owner, plan, set_by_peer};
use crate::api::sealed_secret::{MANAGED, PATCH, SYNCED, SealedSecretRecord, TEMPLATE_RULES};
use crate::api::{RECREATE, SealedSecret};
use crate::decide::digest::Digester;
use crate::decide::ownership::{self, Ownership};
use crate::plan::SecretValues;

/// What is known besides the object.
#[derive(Clone)]
pub struct Knowledge {
    /// What may be made where it lies.
    pub bounds: Bounds,
    /// Who writes for us.
    pub managers: Managers,
    /// Under the install key.
    pub digester: Digester,
    /// The time.
    pub now: Timestamp,
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The Secret as it should be.
    pub made: Made,
    /// Whose it is.
    pub claim: Claim,
    /// What to do.
    pub step: Step,
    /// How templates were rendered; none without templates.
    pub rendering: Option<(Rules, Timestamp)>,
    /// What people should know although all is well.
    pub notices: Vec<Notice>,
}

/// What people should know although all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The Secret was found as version 0.36 renders it, and is kept so.
    OldRules,
    /// The annotation names rules that there are not.
    UnknownRules,
    /// The template says immutable, which counts when a Secret is made.
    NotImmutable,
    /// It is more than values, but stood already.
    Stands(Danger),
    /// The format of before 2019 is a whole Secret: templates beside it are not rendered.
    TemplateIgnored,
}

/// Decides. `live` is the Secret that stands, if one does.
///
/// # Errors
///
/// [`Error`]; what stands is [`Error::Standing`].
pub fn settle(
    object: &SealedSecret,
    opened: &Opened,
    live: Option<&SecretValues>,
    known: &Knowledge,
) -> Result<Settled, Error> {
    let claim = live.map(|live| claim(object, &live.metadata));
    let (mut made, rules, rendering) = made(object, opened, live.zip(claim), known)?;
    let mut notices = Vec::new();
    match (rules, object.annotations().get(TEMPLATE_RULES)) {
        (_, Some(name)) if Rules::named(name).is_none() => notices.push(Notice::UnknownRules),
        (Rules::Old, None) => notices.push(Notice::OldRules),
        _ => {}
    }
    if opened.old_form && has_templates(object) {
        notices.push(Notice::TemplateIgnored);
    }
    if let Some(danger) = known.bounds.danger(&made.secret) {
        let ours = claim.is_some_and(|claim| claim.ownership == Ownership::Ours);
        if !live.is_some_and(|live| ours && known.bounds.stands(danger, live)) {
            let namespace = object.namespace().unwrap_or_default();
            return Err(Error::Refused { danger, namespace });
        }
        notices.push(Notice::Stands(danger));
    }
    for name in &made.missing {
        if let Some(value) = live.and_then(|live| live.data.get(name)) {
            made.secret.data.insert(name.clone(), value.clone());
        }
    }
    if claim.is_some_and(|claim| claim.ownership == Ownership::Patchable) {
        made.secret.owner = None;
    }
    let step = plan(&made.secret, live.zip(claim), known.managers, asks(object, RECREATE)).map_err(Error::Standing)?;
    let stays = matches!(step, Step::Keep | Step::Mend { .. });
    if made.secret.immutable == Some(true) && stays && live.is_some_and(|live| !live.immutable) {
        notices.push(Notice::NotImmutable);
    }
    let claim = claim.unwrap_or(Claim { ownership: Ownership::Ours, merge: false });
    Ok(Settled { made, claim, step, rendering: rendering.map(|rendering| (rules, rendering.at)), notices })
}

/// Whose a Secret of the object's name is. Without an owner reference only our own record says that we made it.
pub fn claim(object: &SealedSecret, secret: &ObjectMeta) -> Claim {
    let made_here = || {
        let record = record(object);
        owner(object).is_none() && record.is_some_and(|record| Some(&record.target.uid) == secret.uid.as_ref())
    };
    let merge = secret.annotations.as_ref().and_then(|all| all.get(PATCH)).is_some_and(|value| value == "true");
    let ownership = match ownership::of(secret, &object.uid().unwrap_or_default(), Some(MANAGED), Some(PATCH)) {
        Ownership::Foreign | Ownership::Adoptable if made_here() => Ownership::Ours,
        other => other,
    };
    Claim { ownership, merge }
}

/// What we remember of it.
pub fn record(object: &SealedSecret) -> Option<&SealedSecretRecord> {
    object.status.as_ref()?.chancery.as_ref()
}

/// Whether the status speaks of the present generation, and well.
pub fn is_handled(object: &SealedSecret) -> bool {
    let status = object.status.as_ref();
    was_synced(object) && status.is_some_and(|status| status.observed_generation == object.metadata.generation)
}

/// Whether the status speaks well, of whichever generation.
pub fn was_synced(object: &SealedSecret) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == SYNCED && condition.status == "True")
}

/// When this generation was first rendered: it was written down, or is about when the status was, or is now.
fn rendered_at(object: &SealedSecret, now: Timestamp) -> Timestamp {
    let generation = object.metadata.generation;
    let recorded = record(object).and_then(|record| record.rendering.as_ref());
    let recorded = recorded.filter(|rendering| Some(rendering.generation) == generation);
    if let Some(at) = recorded.and_then(|rendering| rendering.at.parse().ok()) {
        return at;
    }
    // An upstream definition keeps this much of what we remember.
    let status = object.status.as_ref().filter(|status| status.observed_generation == generation);
    let synced = status.into_iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == SYNCED);
    let told = synced.and_then(|condition| condition.last_update_time.as_ref()?.parse().ok());
    told.unwrap_or_else(|| Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The Secret by the rules that count for it: what the annotation says, else the new ones, unless a Secret of ours was
/// found as the old ones render it. A hand-over changes no password of anybody: what the other controller was the last to
/// render is kept, whichever version it is and whatever chance it drew.
fn made(
    object: &SealedSecret,
    opened: &Opened,
    live: Option<(&SecretValues, Claim)>,
    known: &Knowledge,
) -> Result<(Made, Rules, Option<Rendering>), Error> {
    let rendering = |rules| Rendering { rules, at: rendered_at(object, known.now), digester: known.digester.clone() };
    if !has_templates(object) || opened.old_form {
        return Ok((make(object, opened, &rendering(Rules::New))?, Rules::New, None));
    }
    let new = rendering(Rules::New);
    let ours = live.filter(|(_, claim)| claim.ownership == Ownership::Ours);
    let found = ours.map(|(live, _)| Found::of(object, live, known.managers)).unwrap_or_default();
    let by = |rules| match ours.filter(|_| !found.by_peer.is_empty()) {
        Some((live, _)) => {
            make_as_found(object, opened, &rendering(rules), &live.data, |key| found.by_peer.contains(key))
        }
        None => make(object, opened, &rendering(rules)),
    };
    if let Some(rules) = object.annotations().get(TEMPLATE_RULES).map(|name| Rules::named(name).unwrap_or_default()) {
        return Ok((by(rules)?, rules, Some(new)));
    }
    if let Some((live, claim)) = ours.filter(|_| found.is_new || !found.by_peer.is_empty()) {
        for rules in [Rules::New, Rules::Old] {
            let keeps = |key: &str| found.is_new || found.by_peer.contains(key);
            let made = make_as_found(object, opened, &rendering(rules), &live.data, keeps)?;
            if plan(&made.secret, Some((live, claim)), known.managers, false) == Ok(Step::Keep) {
                return Ok((made, rules, Some(new)));
            }
        }
    }
    if record(object).and_then(|record| record.rendering.as_ref()).is_some_and(|it| it.rules == Rules::Old.name()) {
        let (old, fresh) = (by(Rules::Old)?, by(Rules::New)?);
        let differ = old.secret.data != fresh.secret.data;
        return Ok(if differ { (old, Rules::Old, Some(new)) } else { (fresh, Rules::New, Some(new)) });
    }
    Ok((by(Rules::New)?, Rules::New, Some(new)))
}

/// What a Secret of ours that stands tells about who rendered it.
#[derive(Default)]
struct Found {
    /// It is met for the first time: a record of ours would name it.
    is_new: bool,
    /// Keys that the other controller was the last to set, from what the object says now. A new generation that it has not
    /// seen is rendered by us alone, with chance of its own.
    by_peer: BTreeSet<String>,
}

impl Found {
    fn of(object: &SealedSecret, live: &SecretValues, managers: Managers) -> Self {
        let record = record(object).filter(|record| Some(&record.target.uid) == live.metadata.uid.as_ref());
        let generation = record.and_then(|record| record.rendering.as_ref()).map(|rendering| rendering.generation);
        let is_new = record.is_none();
        let same = is_new || generation == object.metadata.generation;
        Self { is_new, by_peer: if same { set_by_peer(live, managers) } else { BTreeSet::new() } }
    }
}

/// Whether there is anything to render: that may take its time.
pub fn has_templates(object: &SealedSecret) -> bool {
    let templates = object.spec.template.as_ref().and_then(|template| template.data.as_ref());
    templates.is_some_and(|templates| !templates.is_empty())
}

fn asks(object: &SealedSecret, annotation: &str) -> bool {
    object.annotations().get(annotation).is_some_and(|value| value == "true")
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Standing(refusal)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decide::sealed_secret::open;
    use crate::decide::sealed_secret::tests::{key, sealed};

    const MANAGERS: Managers = Managers { ours: "us", peers: "controller" };

    fn known() -> Knowledge {
        let digester = Digester::new(&vec![7; 32].into());
        Knowledge { bounds: Bounds::default(), managers: MANAGERS, digester, now: Timestamp::UNIX_EPOCH }
    }

    /// A Secret that the controller before us made, owned by the object.
    fn live(data: &[(&str, &str)]) -> SecretValues {
        SecretValues {
            metadata: serde_json::from_value(json!({
                "name": "x", "namespace": "ns", "uid": "s", "resourceVersion": "1", "labels": { "app": "shop" },
                "ownerReferences": [{ "apiVersion": "a", "kind": "SealedSecret", "name": "x", "uid": "u", "controller": true }],
            }))
            .unwrap(),
            type_: "Opaque".to_owned(),
            immutable: false,
            data: data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into())).collect(),
        }
    }

    fn settled(edit: impl FnOnce(&mut Value), live: Option<&SecretValues>) -> Result<Settled, Error> {
        let object = sealed(edit);
        settle(&object, &open(&object, &[&key()], true).unwrap(), live, &known())
    }

    #[test]
    fn a_hand_over_keeps_what_either_version_rendered() {
        type Edit = fn(&mut Value);
        let templated: Edit = |o| o["spec"]["template"]["data"] = json!({ "b": "x{{ .b }}", "c": "{{ .a }}" });
        let ordered: Edit = |o| {
            o["spec"]["template"]["data"] = json!({ "b": "x{{ .b }}", "c": "{{ .a }}" });
            o["metadata"]["annotations"] = json!({ "chancery.dev/template-rules": "0.40" });
        };
        let remembered: Edit = |o| {
            o["spec"]["template"]["data"] = json!({ "b": "x{{ .b }}", "c": "{{ .a }}" });
            o["status"] = json!({ "chancery": { "target": { "uid": "s" }, "rendering": { "rules": "0.36" } } });
        };
        let old = [("a", "1"), ("b", "x2"), ("c", "1")];
        let new = [("a", "1"), ("b", "2"), ("c", "1")];
        let edited = [("a", "1"), ("b", "by hand"), ("c", "1")];
        let cases = [
            ("as 0.40 renders it", templated, new, true, Rules::New),
            ("as 0.36 renders it", templated, old, true, Rules::Old),
            ("as neither does", templated, edited, false, Rules::New),
            ("as 0.36 does, the new rules asked for", ordered, old, false, Rules::New),
            ("edited after it was kept", remembered, edited, false, Rules::Old),
        ];
        for (name, edit, data, kept, rules) in cases {
            let settled = settled(edit, Some(&live(&data))).unwrap();
            assert_eq!((settled.step == Step::Keep, settled.rendering.unwrap().0), (kept, rules), "{name}");
            assert_eq!(settled.notices.contains(&Notice::OldRules), rules == Rules::Old, "{name}");
        }
    }

    #[test]
    fn what_chance_made_is_kept_at_first_contact_and_made_again_afterwards() {
        let templated = |o: &mut Value| o["spec"]["template"]["data"] = json!({ "c": "{{ randAlphaNum 8 }}" });
        let theirs = live(&[("a", "1"), ("b", "2"), ("c", "theirs")]);
        assert_eq!(settled(templated, Some(&theirs)).unwrap().step, Step::Keep);
        let once = settled(templated, None).unwrap().made.secret.data;
        assert_eq!(once, settled(templated, None).unwrap().made.secret.data);
    }

    #[test]
    fn what_the_other_controller_rendered_since_is_kept_at_a_return() {
        const TEMPLATES: &str = r#"{ "b": "x{{ .b }}", "c": "{{ randAlphaNum 8 }}" }"#;
        let returned = |generation: i64, rules: &str| {
            let status = json!({ "chancery": {
                "target": { "uid": "s" },
                "rendering": { "generation": generation, "at": "1970-01-01T00:00:02Z", "rules": rules },
            } });
            sealed(|o| {
                o["metadata"]["generation"] = 3.into();
                o["spec"]["template"]["data"] = serde_json::from_str(TEMPLATES).unwrap();
                o["status"] = status;
            })
        };
        let standing = |manager: &str, b: &str, a: &str| {
            let mut standing = live(&[("a", a), ("b", b), ("c", "drawn")]);
            let entry = json!([{ "manager": manager, "operation": "Update", "fieldsV1": { "f:data": { "f:b": {}, "f:c": {} } } }]);
            standing.metadata.managed_fields = serde_json::from_value(entry).unwrap();
            standing
        };
        let cases = [
            ("as 0.36 renders it", returned(3, "0.40"), standing("controller", "x2", "1"), true, "drawn", Rules::Old),
            (
                "as it was found before",
                returned(3, "0.36"),
                standing("controller", "x2", "1"),
                true,
                "drawn",
                Rules::Old,
            ),
            ("as 0.40 renders it", returned(3, "0.36"), standing("controller", "2", "1"), true, "drawn", Rules::New),
            (
                "another key edited since",
                returned(3, "0.36"),
                standing("controller", "x2", "by hand"),
                false,
                "drawn",
                Rules::Old,
            ),
            ("by somebody's hand", returned(3, "0.40"), standing("kubectl-edit", "2", "1"), false, "ours", Rules::New),
            (
                "from an earlier content",
                returned(2, "0.40"),
                standing("controller", "2", "1"),
                false,
                "ours",
                Rules::New,
            ),
        ];
        for (name, object, live, kept, drawn, rules) in cases {
            let settled = settle(&object, &open(&object, &[&key()], true).unwrap(), Some(&live), &known()).unwrap();
            assert_eq!((settled.step == Step::Keep, settled.rendering.unwrap().0), (kept, rules), "{name}");
            let made = settled.made.secret.data["c"].expose();
            assert_eq!(made == b"drawn", drawn == "drawn", "{name}");
        }
    }

    #[test]
    fn what_is_more_than_values_stays_where_it_stands() {
        let token = |o: &mut Value| o["spec"]["template"]["type"] = "kubernetes.io/service-account-token".into();
        let mut standing = live(&[("a", "1"), ("b", "2")]);
        let refused = settled(token, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this Secret would be a credential that the cluster itself accepts; an administrator permits it with \
             --permit=ns/token"
        );
        standing.type_ = "kubernetes.io/service-account-token".to_owned();
        let kept = settled(token, Some(&standing)).unwrap();
        assert_eq!(kept.notices, [Notice::Stands(Danger::MintsCredentials)]);
        standing.metadata.owner_references = None;
        assert!(settled(token, Some(&standing)).is_err(), "not when somebody else made it");
    }

    #[test]
    fn a_part_keeps_what_stands_of_the_rest() {
        let part = |o: &mut Value| {
            o["spec"]["encryptedData"]["b"] = "***".into();
            o["metadata"]["annotations"] = json!({ "chancery.dev/partial": "true" });
        };
        let settled = settled(part, Some(&live(&[("a", "old"), ("b", "last good")]))).unwrap();
        let Step::Mend { apply, .. } = settled.step else { panic!("it is not mended") };
        assert_eq!((apply.data["a"].expose(), apply.data["b"].expose()), (&b"1"[..], &b"last good"[..]));
        assert!(settled.made.short.is_some());
    }

    #[test]
    fn the_time_of_a_rendering_is_remembered() {
        let at = |status: Value| {
            let object = sealed(|o| {
                o["metadata"]["generation"] = 3.into();
                o["status"] = status;
            });
            rendered_at(&object, Timestamp::from_second(9).unwrap()).as_second()
        };
        assert_eq!(at(json!({})), 9);
        let recorded = |generation: i64| {
            json!({
                "observedGeneration": 3,
                "conditions": [{ "type": "Synced", "status": "True", "lastUpdateTime": "1970-01-01T00:00:05Z" }],
                "chancery": { "rendering": { "generation": generation, "at": "1970-01-01T00:00:02Z" } },
            })
        };
        assert_eq!((at(recorded(3)), at(recorded(2))), (2, 5));
    }
}
