//! What is written over a Secret that stands, as a table; and what is not.

use serde_json::{Value, json};

use super::super::tests::object;
use super::*;
use crate::api::sealed_secret::KEY_LABEL;
use crate::error::Classify;

const MANAGER: &str = "externalsecrets.external-secrets.io/db";
const TOKEN: &str = "kubernetes.io/service-account-token";

fn with(target: Value) -> ExternalSecret {
    object(|o| o["spec"]["target"] = target)
}

fn rendered(data: &[(&str, &str)]) -> Rendered {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect();
    Rendered { data, ..Rendered::default() }
}

/// A Secret as the API server shows it; `edit` works on its JSON with plain data.
fn live(edit: impl FnOnce(&mut Value)) -> SecretValues {
    let mut value = json!({
        "metadata": { "name": "db", "namespace": "shop", "uid": "s", "resourceVersion": "7" },
        "type": "Opaque", "data": { "password": "x" },
    });
    edit(&mut value);
    let data = value["data"].as_object().unwrap().clone();
    SecretValues {
        metadata: serde_json::from_value(value["metadata"].clone()).unwrap(),
        type_: value["type"].as_str().unwrap().to_owned(),
        immutable: value["immutable"].as_bool().unwrap_or_default(),
        data: data.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned().into())).collect(),
    }
}

/// As the reference would have left it: its labels, hash, owner and field manager.
fn handed_over(edit: impl FnOnce(&mut Value)) -> SecretValues {
    let object = with(json!({}));
    live(|o| {
        o["metadata"]["labels"] = json!({ MANAGED_LABEL: "true", CREATED_BY_LABEL: created_by(&object) });
        o["metadata"]["annotations"] = json!({ DATA_HASH: data_hash(&rendered(&[("password", "x")]).data) });
        o["metadata"]["ownerReferences"] = json!([owner(&object)]);
        o["metadata"]["managedFields"] = managed(&["password"], &[MANAGED_LABEL, CREATED_BY_LABEL], &[DATA_HASH]);
        edit(o);
    })
}

fn managed(data: &[&str], labels: &[&str], annotations: &[&str]) -> Value {
    let fields = |names: &[&str]| names.iter().map(|name| (format!("f:{name}"), json!({}))).collect::<Map<_, _>>();
    json!([{
        "manager": MANAGER, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:data": fields(data),
            "f:metadata": { "f:labels": fields(labels), "f:annotations": fields(annotations) },
        },
    }])
}

fn decide(
    object: &ExternalSecret,
    live: Option<&SecretValues>,
    data: &[(&str, &str)],
    first: bool,
) -> Result<Step, Error> {
    decide_with(object, live, data, Compatibility::default(), first)
}

fn decide_with(
    object: &ExternalSecret,
    live: Option<&SecretValues>,
    data: &[(&str, &str)],
    compatibility: Compatibility,
    first: bool,
) -> Result<Step, Error> {
    let wanted = draft(object, rendered(data), &Bounds::default())?;
    step(object, live, &wanted, compatibility, first)
}

fn patch_of(step: Result<Step, Error>) -> Value {
    match step.unwrap() {
        Step::Amend(patch, guard) => {
            assert_eq!((guard.uid.as_str(), guard.resource_version.as_str()), ("s", "7"));
            patch.into_value()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_reference_left_is_not_written_again() {
    let plain = with(json!({}));
    let cases = [
        ("as it was", handed_over(|_| {})),
        (
            "with kubectl's copy of the object",
            handed_over(|o| o["metadata"]["annotations"][LAST_APPLIED] = json!("{}")),
        ),
        ("with labels of others", handed_over(|o| o["metadata"]["labels"]["theirs"] = json!("1"))),
        (
            "with a label that the reference forgot to take away",
            handed_over(|o| {
                o["metadata"]["labels"]["old"] = json!("1");
                o["metadata"]["managedFields"] =
                    managed(&["password"], &[MANAGED_LABEL, CREATED_BY_LABEL, "old"], &[DATA_HASH]);
            }),
        ),
    ];
    for (name, live) in &cases {
        assert_eq!(decide(&plain, Some(live), &[("password", "x")], true).unwrap(), Step::Nothing, "{name}");
    }
    let (_, forgotten) = &cases[3];
    let patch = patch_of(decide(&plain, Some(forgotten), &[("password", "x")], false));
    assert_eq!(patch["metadata"]["labels"], json!({ "old": null }), "later it goes");
    assert!(patch["metadata"]["annotations"].is_null(), "the hash stays while the data do: {patch}");
}

#[test]
fn the_references_hash_goes_with_our_first_write_unless_it_is_asked_for() {
    let plain = with(json!({}));
    let patch = patch_of(decide(&plain, Some(&handed_over(|_| {})), &[("password", "new")], true));
    assert_eq!(patch["data"], json!({ "password": "bmV3" }));
    assert_eq!(patch["metadata"]["annotations"], json!({ DATA_HASH: null }));
    let kept = Compatibility { data_hash: true, ..Compatibility::default() };
    let patch = patch_of(decide_with(&plain, Some(&handed_over(|_| {})), &[("password", "new")], kept, true));
    let hash = data_hash(&rendered(&[("password", "new")]).data);
    assert_eq!(patch["metadata"]["annotations"], json!({ DATA_HASH: hash }));
    let wrong = handed_over(|o| o["metadata"]["annotations"][DATA_HASH] = json!("of something else"));
    let patch = patch_of(decide_with(&plain, Some(&wrong), &[("password", "x")], kept, false));
    assert!(patch["data"].is_null(), "what is there counts, not what a hash says: {patch}");
}

#[test]
fn whose_a_secret_is_decides_what_may_be_done() {
    let owned_by = |kind: &str, name: &str| {
        let group = if kind == "ExternalSecret" { "external-secrets.io/v1" } else { "v1" };
        json!([{ "apiVersion": group, "kind": kind, "name": name, "uid": "o", "controller": true }])
    };
    let owned = |kind: &str, name: &str| {
        let owners = owned_by(kind, name);
        live(move |o| o["metadata"]["ownerReferences"] = owners)
    };
    let policy = |policy: &str| with(json!({ "creationPolicy": policy }));
    let adopting = object(|o| o["metadata"]["annotations"] = json!({ ADOPT: "true" }));
    let adopted = live(|o| o["metadata"]["annotations"] = json!({ ADOPT: "true" }));
    let was_ours = live(|o| o["metadata"]["managedFields"] = managed(&["password"], &[], &[]));
    let take_over = Compatibility { take_over: true, ..Compatibility::default() };
    let none = Compatibility::default();
    let cases = [
        ("nobody's", policy("Owner"), live(|_| {}), none, Err("Unmanaged")),
        ("nobody's, Orphan", policy("Orphan"), live(|_| {}), none, Err("Unmanaged")),
        ("nobody's, Merge", policy("Merge"), live(|_| {}), none, Ok(())),
        ("nobody's, CreateOrMerge", policy("CreateOrMerge"), live(|_| {}), none, Ok(())),
        ("nobody's, taken over", policy("Owner"), live(|_| {}), take_over, Ok(())),
        ("given over by itself", policy("Owner"), adopted, none, Ok(())),
        ("given over by the object", adopting, live(|_| {}), none, Ok(())),
        ("ours once", policy("Owner"), was_ours, none, Ok(())),
        ("ours, made anew", policy("Owner"), owned("ExternalSecret", "db"), none, Ok(())),
        (
            "another ExternalSecret's",
            policy("Owner"),
            owned("ExternalSecret", "other"),
            take_over,
            Err("OwnedByAnother"),
        ),
        (
            "another ExternalSecret's, Merge",
            policy("Merge"),
            owned("ExternalSecret", "other"),
            none,
            Err("OwnedByAnother"),
        ),
        ("another controller's", policy("Owner"), owned("ConfigMap", "ghost"), take_over, Err("OwnedByAnother")),
        ("another controller's, Merge", policy("Merge"), owned("ConfigMap", "ghost"), none, Ok(())),
        ("anybody's, None", policy("None"), live(|_| {}), none, Ok(())),
    ];
    for (name, object, live, compatibility, expected) in cases {
        let told = decide_with(&object, Some(&live), &[("password", "y")], compatibility, true);
        assert_eq!(told.map(drop).map_err(|error| error.reason()), expected, "{name}");
    }
}

#[test]
fn keys_of_others_stay_where_we_merge_and_go_where_we_own() {
    let owning = with(json!({}));
    let mixed = handed_over(|o| o["data"]["theirs"] = json!("1"));
    let patch = patch_of(decide(&owning, Some(&mixed), &[("password", "x")], false));
    assert_eq!(patch["data"], json!({ "theirs": null }));

    let merging = with(json!({ "creationPolicy": "Merge" }));
    let both = live(|o| {
        o["data"] = json!({ "theirs": "1", "password": "x", "old": "x" });
        o["metadata"]["labels"] = json!({ MANAGED_LABEL: "true" });
        o["metadata"]["managedFields"] = managed(&["password", "old"], &[MANAGED_LABEL], &[]);
    });
    let patch = patch_of(decide(&merging, Some(&both), &[("password", "y")], false));
    assert_eq!(patch["data"], json!({ "old": null, "password": "eQ==" }));
    assert_eq!(decide(&merging, None, &[("password", "y")], false).unwrap(), Step::Missing);
    let whole = decide(&with(json!({ "creationPolicy": "CreateOrMerge" })), None, &[("password", "y")], false).unwrap();
    let Step::Create(made) = whole else { panic!("it is made") };
    assert!(made.into_value()["metadata"]["ownerReferences"].is_null());
}

#[test]
fn a_change_of_policy_takes_the_owner_away_and_brings_it_back() {
    let patch = patch_of(decide(
        &with(json!({ "creationPolicy": "Orphan" })),
        Some(&handed_over(|_| {})),
        &[("password", "x")],
        false,
    ));
    assert_eq!(patch["metadata"]["ownerReferences"], json!([]));
    assert_eq!(patch["metadata"]["labels"], json!({ CREATED_BY_LABEL: null }));
    let orphan = handed_over(|o| {
        o["metadata"]["ownerReferences"] = json!([]);
        o["metadata"]["labels"] = json!({ MANAGED_LABEL: "true" });
    });
    let patch = patch_of(decide(&with(json!({})), Some(&orphan), &[("password", "x")], false));
    assert_eq!(patch["metadata"]["ownerReferences"][0]["kind"], "ExternalSecret");
}

#[test]
fn what_cannot_be_changed_in_place_is_said_or_made_anew() {
    let immutable = || handed_over(|o| o["immutable"] = json!(true));
    let typed = |annotations: Value| {
        object(|o| {
            o["metadata"]["annotations"] = annotations;
            o["spec"]["target"] = json!({ "template": { "type": "example.com/own" } });
        })
    };
    let reason = |step: Result<Step, Error>| step.map(drop).map_err(|error| error.reason());
    assert_eq!(reason(decide(&with(json!({})), Some(&immutable()), &[("password", "y")], false)), Err("Immutable"));
    assert_eq!(reason(decide(&with(json!({})), Some(&immutable()), &[("password", "x")], false)), Ok(()));
    assert_eq!(
        reason(decide(&typed(json!({})), Some(&handed_over(|_| {})), &[("password", "x")], false)),
        Err("TypeFixed")
    );
    let anew = decide(&typed(json!({ RECREATE: "true" })), Some(&handed_over(|_| {})), &[("password", "x")], false);
    assert!(
        matches!(anew.unwrap(), Step::Recreate(guard, made) if guard.uid == "s" && made.fields()["type"] == "example.com/own")
    );

    let sealed = with(json!({ "immutable": true }));
    let patch = patch_of(decide(&sealed, Some(&handed_over(|_| {})), &[("password", "y")], false));
    assert_eq!(
        (&patch["immutable"], &patch["data"]),
        (&json!(true), &Value::Null),
        "nothing is rendered into it again"
    );
    assert_eq!(decide(&sealed, Some(&immutable()), &[("password", "y")], false).unwrap(), Step::Nothing);
}

#[test]
fn labels_follow_and_what_is_no_longer_wanted_goes() {
    let labelled = |labels: Value| object(|o| o["metadata"]["labels"] = labels);
    let stands = handed_over(|o| {
        o["metadata"]["labels"]["l1"] = json!("1");
        o["metadata"]["labels"]["l2"] = json!("2");
        let ours = [MANAGED_LABEL, CREATED_BY_LABEL, "l1", "l2"];
        o["metadata"]["managedFields"] = managed(&["password"], &ours, &[DATA_HASH]);
    });
    let patch = patch_of(decide(&labelled(json!({ "l1": "changed" })), Some(&stands), &[("password", "x")], false));
    assert_eq!(patch["metadata"]["labels"], json!({ "l1": "changed", "l2": null }));
    let templated = object(|o| {
        o["metadata"]["labels"] = json!({ "mine": "1" });
        o["spec"]["target"] = json!({ "template": { "metadata": { "finalizers": ["example.com/hold"] } } });
    });
    let made = draft(&templated, rendered(&[]), &Bounds::default()).unwrap();
    assert!(!made.labels.contains_key("mine"), "with a template only its own labels count");
    let patch = patch_of(decide(
        &templated,
        Some(&handed_over(|o| o["metadata"]["finalizers"] = json!(["a/b"]))),
        &[("password", "x")],
        false,
    ));
    assert_eq!(patch["metadata"]["finalizers"], json!(["a/b", "example.com/hold"]));
}

#[test]
fn secrets_that_are_more_than_values_are_refused() {
    let token = with(json!({ "template": { "type": TOKEN } }));
    assert!(matches!(draft(&token, rendered(&[]), &Bounds::default()), Err(Error::Refused(_))));
    let labelled = with(json!({ "template": { "metadata": {} } }));
    let mut key = rendered(&[]);
    key.labels.insert(KEY_LABEL.to_owned(), "active".to_owned());
    let bounds = Bounds { key_namespace: true, ..Bounds::default() };
    assert!(matches!(draft(&labelled, key.clone(), &bounds), Err(Error::Refused(_))));
    assert!(draft(&labelled, key, &Bounds::default()).is_ok());
}

#[test]
fn digests_of_what_is_wanted_and_of_what_stands_agree() {
    let digester = Digester::new(&vec![1; 32].into());
    let plain = with(json!({}));
    let wanted = draft(&plain, rendered(&[("password", "x")]), &Bounds::default()).unwrap();
    let expected = outputs(&plain, &wanted, &digester);
    let of = |live: &SecretValues, compatibility| outputs_of_live(&plain, live, compatibility, &digester);
    let none = Compatibility::default();
    assert_eq!(of(&handed_over(|_| {}), none), expected);
    assert_eq!(of(&handed_over(|o| o["metadata"]["labels"]["theirs"] = json!("1")), none), expected);
    assert_ne!(of(&handed_over(|o| o["data"]["password"] = json!("edited")), none), expected);
    assert_ne!(of(&handed_over(|o| o["data"]["more"] = json!("")), none), expected);
    assert_ne!(of(&handed_over(|o| o["metadata"]["ownerReferences"] = json!([])), none), expected);
    assert_ne!(of(&handed_over(|o| o["metadata"]["labels"][MANAGED_LABEL] = json!("no")), none), expected);
    let hashed = Compatibility { data_hash: true, ..none };
    assert_eq!(of(&handed_over(|_| {}), hashed), expected);
    assert_ne!(of(&handed_over(|o| o["metadata"]["annotations"] = json!({})), hashed), expected);
}
