//! The ground itself: the servers are real, the operator starts as a pod would, leads, stops.

use std::time::Duration;

use bed::Bed;
use bed::cluster::PATIENCE;
use serde_json::json;

#[tokio::test]
async fn crds_are_accepted_and_a_typo_is_refused() {
    let bed = Bed::attach().unwrap();
    let cluster = bed.cluster().await.unwrap();
    for crd in cluster.list("apiextensions.k8s.io/v1 CustomResourceDefinition", "").await.unwrap() {
        let conditions = crd["status"]["conditions"].as_array().unwrap().clone();
        for kind in ["Established", "NamesAccepted"] {
            assert!(
                conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True"),
                "{}: {conditions:?}",
                crd["metadata"]["name"]
            );
        }
        assert!(!conditions.iter().any(|condition| condition["type"] == "NonStructuralSchema"), "{conditions:?}");
    }
    let typo = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": "typo", "namespace": "default" },
        "spec": { "source": { "repoURL": "https://x/y", "helmm": {} }, "destination": {} },
    });
    let refused = cluster.apply_object(&typo).await.unwrap_err();
    assert!(format!("{refused:#}").contains("helmm"), "{refused:#}");
}

#[tokio::test]
async fn the_second_replica_is_warm_and_takes_over() {
    let tenant = Bed::attach().unwrap().tenant("lease").await.unwrap();
    let first = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap();
    let second = first.replica("second").unwrap();
    let leader = first.start().unwrap();
    let lease = ("coordination.k8s.io/v1 Lease", tenant.keys.as_str(), "chancery");
    tenant
        .cluster
        .wait_for("the first replica holds the Lease", lease, PATIENCE, |lease| {
            lease["spec"]["holderIdentity"] == "operator"
        })
        .await
        .unwrap();
    let warm = second.start().unwrap();
    assert!(leader.stop(), "a graceful stop succeeds");
    tenant
        .cluster
        .wait_for("the second replica took over", lease, Duration::from_secs(20), |lease| {
            lease["spec"]["holderIdentity"] == "second"
        })
        .await
        .unwrap();
    for line in warm.log().lines() {
        let read = seal::yaml::documents(line, seal::yaml::Duplicates::Refuse);
        let entry = read.unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry[0]["level"].is_string() && entry[0]["message"].is_string(), "{line}");
    }
    assert!(warm.stop());
}

#[tokio::test]
async fn moto_plays_aws() {
    let bed = Bed::attach().unwrap();
    let url = bed.aws().await.unwrap();
    let answer = reqwest::Client::new()
        .post(url)
        .header("X-Amz-Target", "secretsmanager.CreateSecret")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/secretsmanager/aws4_request")
        .body(json!({ "Name": "ground", "SecretString": "x", "ClientRequestToken": "0".repeat(32) }).to_string())
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("arn:aws:secretsmanager:us-east-1"), "{text}");
}

#[tokio::test]
async fn probes_and_metrics_answer_and_a_controller_that_is_switched_off_does_nothing() {
    let tenant = Bed::attach().unwrap().tenant("probes").await.unwrap();
    let operator = tenant.operator(&["--controllers=external-secrets"]).await.unwrap();
    let running = operator.start().unwrap();
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = reqwest::get(format!("{}{path}", running.metrics_url)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let answer = reqwest::get(format!("{}/metrics", running.metrics_url)).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    for metric in ["chancery_leader", "chancery_key_unwraps_total", "chancery_build_info"] {
        assert!(text.lines().any(|line| line.starts_with(metric)), "{metric}: {text}");
    }
    // The switched-off ones hold no key, serve no certificate, touch no object.
    assert!(reqwest::get(format!("{}/v1/cert.pem", operator.url)).await.is_err());
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": "ignored", "namespace": tenant.apps },
        "spec": { "source": { "repoURL": "https://127.0.0.1:1/x", "path": "." }, "destination": { "name": "in-cluster" } },
    });
    tenant.cluster.apply_object(&application).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let object = tenant.cluster.get("argoproj.io/v1alpha1 Application", &tenant.apps, "ignored").await.unwrap();
    assert!(object["status"].is_null(), "{object}");
    let secrets = tenant.cluster.list("v1 Secret", &tenant.keys).await.unwrap();
    assert!(secrets.iter().all(|secret| secret["type"] != "kubernetes.io/tls"), "a key was born");
}

#[tokio::test]
async fn without_a_kubeconfig_the_pods_own_account_is_used() {
    if !bed::namespaces::inside() {
        bed::say("skipped: a pod's account needs the bed's namespaces");
        return;
    }
    let tenant = Bed::attach().unwrap().tenant("pod").await.unwrap();
    let account = bed::peer::PodAccount::mount(&tenant, &tenant.keys, "chancery").await.unwrap();
    let operator = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap().in_pod(&account);
    let running = operator.start().unwrap();
    let lease = ("coordination.k8s.io/v1 Lease", tenant.keys.as_str(), "chancery");
    let held = |lease: &serde_json::Value| lease["spec"]["holderIdentity"] == "operator";
    tenant.cluster.wait_for("it holds the Lease", lease, PATIENCE, held).await.unwrap();
    assert!(running.stop());
}

#[tokio::test]
async fn a_deadline_that_passes_explains_itself() {
    let tenant = Bed::attach().unwrap().tenant("late").await.unwrap();
    let _running = tenant.operator(&["--controllers=applications"]).await.unwrap().start().unwrap();
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": "late", "namespace": tenant.apps },
        "spec": { "source": { "repoURL": "https://127.0.0.1:1/x", "path": "." }, "destination": { "name": "in-cluster" } },
    });
    tenant.cluster.apply_object(&application).await.unwrap();
    let place = ("argoproj.io/v1alpha1 Application", tenant.apps.as_str(), "late");
    let told = |object: &serde_json::Value| object["status"]["sync"]["status"] == "Unknown";
    tenant.cluster.wait_for("it is told", place, PATIENCE, told).await.unwrap();
    let never = tenant.cluster.wait_for("pigs fly", place, Duration::from_secs(1), |_| false).await.unwrap_err();
    let words = format!("{never:#}");
    for expected in
        ["not within 1 s: pigs fly", "ComparisonError", "events:", "operator.log ends:", "cannot be reached"]
    {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}
