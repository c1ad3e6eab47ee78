//! AppProject: what a team may not do is not done, and is said.

use bed::Tenant;
use bed::cluster::PATIENCE;
use bed::git::Repository;
use serde_json::{Value, json};

use crate::application::{
    APPLICATION, application, automated, name_of, says, stands, synced_to, tenant_with_repository,
};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

/// The mission's project, for this tenant's namespaces.
async fn payments(tenant: &Tenant, repository: &Repository) {
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": { "name": "team-payments", "namespace": tenant.apps },
        "spec": {
            "description": "Payments team project",
            "sourceRepos": [repository.url],
            "destinations": [{ "namespace": format!("{}*", tenant.work), "server": "https://kubernetes.default.svc" }],
            "clusterResourceWhitelist": [{ "group": "", "kind": "Namespace" }],
        },
    });
    tenant.cluster.apply_object(&project).await.unwrap();
}

#[tokio::test]
async fn what_a_project_forbids_is_refused_and_nothing_of_it_is_applied() {
    let (tenant, git, repository) = tenant_with_repository("project").await;
    payments(&tenant, &repository).await;
    let other = git.create("other").unwrap();
    other.commit("first", &[("app/a.yaml", MAP)]).unwrap();
    let first = repository.commit("first", &[("app/a.yaml", MAP)]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    let mut app = application(&tenant, &repository, "app", &automated());
    app["spec"]["project"] = json!("team-payments");
    app["spec"]["syncPolicy"]["retry"] = json!({ "limit": 0 });
    tenant.cluster.apply_object(&app).await.unwrap();
    stands(&tenant, &name, "what is permitted is synced", synced_to(&first)).await;

    // A kind that is not permitted, beside a change that is: neither happens.
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules: []\n",
        tenant.work
    );
    let changed = format!("{MAP}data:\n  k: v\n");
    repository.commit("a ClusterRole", &[("app/r.yaml", &role), ("app/a.yaml", &changed)]).unwrap();
    let refused = |object: &Value| {
        let results = object["status"]["operationState"]["syncResult"]["resources"].as_array();
        object["status"]["operationState"]["phase"] == "Failed"
            && results.into_iter().flatten().any(|result| {
                result["message"]
                    == "resource rbac.authorization.k8s.io:ClusterRole is not permitted in project team-payments."
            })
    };
    let object = stands(&tenant, &name, "the kind is refused", refused).await;
    let role =
        object["status"]["resources"].as_array().unwrap().iter().find(|resource| resource["kind"] == "ClusterRole");
    assert_eq!((&role.unwrap()["status"], &role.unwrap()["health"]["status"]), (&json!("Unknown"), &json!("Missing")));
    assert!(tenant.cluster.find("rbac.authorization.k8s.io/v1 ClusterRole", "", &tenant.work).await.unwrap().is_none());
    assert!(tenant.cluster.get("v1 ConfigMap", &tenant.work, "a").await.unwrap()["data"].is_null());

    // Another namespace, inside a manifest.
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: intruder\n  namespace: default\n";
    repository.commit("elsewhere", &[("app/r.yaml", ""), ("app/b.yaml", foreign)]).unwrap();
    let refused =
        |object: &Value| says(object, "SyncError", "namespace default is not permitted in project 'team-payments'");
    stands(&tenant, &name, "the namespace is refused", refused).await;
    assert!(tenant.cluster.find("v1 ConfigMap", "default", "intruder").await.unwrap().is_none());

    for (what, patch, words) in [
        (
            "a foreign destination",
            json!({ "destination": { "namespace": "default" } }),
            "do not match any of the allowed destinations in project 'team-payments'",
        ),
        (
            "a foreign repository",
            json!({ "destination": { "namespace": tenant.work }, "source": { "repoURL": other.url } }),
            "is not permitted in project 'team-payments'",
        ),
        ("a missing project", json!({ "project": "nobody" }), "referencing project nobody which does not exist"),
    ] {
        tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &json!({ "spec": patch })).await.unwrap();
        let object = stands(&tenant, &name, what, |object| says(object, "InvalidSpecError", words)).await;
        assert_eq!(object["status"]["sync"]["status"], "Unknown", "{what}");
        assert_eq!(object["status"]["health"]["status"], "Unknown", "{what}");
    }
    // Once permitted, it goes on by itself.
    let back = json!({ "spec": { "project": "team-payments", "source": { "repoURL": repository.url } } });
    let last = repository.commit("home again", &[("app/b.yaml", "")]).unwrap();
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &back).await.unwrap();
    stands(&tenant, &name, "it is synced again", synced_to(&last)).await;
}

#[tokio::test]
async fn git_makes_nobody_an_administrator() {
    let (tenant, _git, repository) = tenant_with_repository("privilege").await;
    let key = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: my-key\n  namespace: {}\n  labels:\n    \
         sealedsecrets.bitnami.com/sealed-secrets-key: active\n",
        tenant.keys
    );
    repository.commit("a key of my own", &[("app/key.yaml", &key), ("app/a.yaml", MAP)]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &automated())).await.unwrap();
    let refused = |object: &Value| {
        let message = object["status"]["operationState"]["message"].as_str();
        message.is_some_and(|message| message.contains("would make this Secret a sealing key"))
    };
    stands(&tenant, &name, "the key is refused", refused).await;
    assert!(tenant.cluster.find("v1 Secret", &tenant.keys, "my-key").await.unwrap().is_none());
    tenant.cluster.delete(APPLICATION, &tenant.apps, &name).await.unwrap();
    tenant.cluster.wait_gone(APPLICATION, &tenant.apps, &name, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn fields_that_are_not_honoured_survive_and_are_named() {
    let (tenant, _git, repository) = tenant_with_repository("unhonoured").await;
    let commit = repository.commit("first", &[("app/a.yaml", MAP)]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let mut project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": { "name": "unhonoured", "namespace": tenant.apps },
        "spec": {
            "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }],
            "roles": [{ "name": "ci", "policies": ["p, proj:unhonoured:ci, applications, sync, unhonoured/*, allow"] }],
        },
    });
    tenant.cluster.apply_object(&project).await.unwrap();
    let mut app = application(&tenant, &repository, "app", &automated());
    let extra = json!({
        "project": "unhonoured",
        "info": [{ "name": "owner", "value": "team" }],
        "ignoreDifferences": [{ "group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"] }],
    });
    app["spec"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let stored = tenant.cluster.apply_object(&app).await.unwrap();
    for field in ["info", "ignoreDifferences"] {
        assert_eq!(stored["spec"][field], extra[field], "{field} survives");
    }
    let name = name_of(&tenant, "app");
    stands(&tenant, &name, "it is synced", synced_to(&commit)).await;
    for field in ["spec.ignoreDifferences", "spec.roles of project 'unhonoured'"] {
        let told = |object: &Value| says(object, "UnsupportedFieldWarning", field);
        stands(&tenant, &name, &format!("{field} is named"), told).await;
    }

    // A field that forbids something, or without which something else would be applied, stops everything.
    project["spec"]["syncWindows"] = json!([{ "kind": "deny", "schedule": "* * * * *", "duration": "1h" }]);
    tenant.cluster.apply_object(&project).await.unwrap();
    let told = |object: &Value| says(object, "InvalidSpecError", "spec.syncWindows of project 'unhonoured'");
    stands(&tenant, &name, "the window is named", told).await;
    project["spec"].as_object_mut().unwrap().remove("syncWindows");
    tenant.cluster.apply_object(&project).await.unwrap();
    app["spec"]["source"]["helm"] = json!({ "releaseName": "x" });
    tenant.cluster.apply_object(&app).await.unwrap();
    let told = |object: &Value| says(object, "InvalidSpecError", "spec.source.helm");
    stands(&tenant, &name, "Helm is named", told).await;
}
